"""Evidence: statements in the file about its own origin. It is shown beside the ranking and never affects a distance.

`read` reads the uploaded bytes, `watermark` the pixels. Nothing is re-exported here: the API imports only `finding`,
without Pillow, numpy and c2pa.
"""
