"""Studies: variants of training, seeds and decoders as one matrix over one data set, with one budget of states."""
