"""PCM in, PCM out: codecs, files, tones, speech, and what can be heard in it."""
