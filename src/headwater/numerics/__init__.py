"""Arrays in, small frozen results out: likelihoods, intervals, resampling."""
