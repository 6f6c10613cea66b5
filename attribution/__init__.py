"""The method: attributes an image to the generator that made it, by letting every candidate source generate it again.

No web, no queue, no database. `attribution.method.attribute` is the whole method; `attribution.catalog` and
`attribution.build` make its arguments. Nothing is re-exported here: the API process imports only the catalog, without
numpy and Pillow, which take 14 MB of its 150.
"""
