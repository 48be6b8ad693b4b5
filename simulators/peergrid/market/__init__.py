"""Who trades what at which price: private problems, ADMM, coupling blocks, settlement."""
