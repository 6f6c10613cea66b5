"""Small models that ship with the project: demo models of generators, a captioner and a CLIP, and their training."""
