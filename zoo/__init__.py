"""Small models that ship with the project: scale models of generators, a captioner and a CLIP, and their training."""
