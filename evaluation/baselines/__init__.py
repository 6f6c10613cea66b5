"""The trained baselines that resynthesis is compared with: each learns from n images of every source, its shots."""
