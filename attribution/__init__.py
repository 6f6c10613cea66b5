"""The method: attributes an image to the generator that drew it, by letting every candidate draw it again.

No web, no queue, no database. `attribution.method.attribute` is the whole of it; `attribution.catalogue` and
`attribution.build` make what it takes. Nothing is re-exported here: the API imports the catalogue, and with a façade it
got numpy and Pillow too, 14 MB of the 150 its process may have.
"""
