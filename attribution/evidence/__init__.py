"""What the file itself says about its origin: shown beside the ranking, never mixed into a distance.

`read` looks at the bytes as they were uploaded, `watermark` at the pixels. Nothing is re-exported here: the API
imports the words of `finding`, and must not get Pillow, numpy or c2pa with them.
"""
