"""Problems, prompts and the small tokenizer."""
