"""A model that answers over HTTP: the engine as a stream, OpenAI's routes on it, a page that shows the decoding."""
