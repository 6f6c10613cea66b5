"""How good the answer is: accuracy, verdicts and sets of the method `residual`, beside the papers' cosine."""
