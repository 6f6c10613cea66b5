"""The method: attributes an image to the generator that generated it, by letting every candidate generate it again.

No web, no queue, no database. `attribution.method.attribute` is the whole of it; `attribution.catalog` and
`attribution.build` make what it takes. Nothing is re-exported here: the API imports the catalog, and with a façade it
got numpy and Pillow too, 14 MB of the 150 its process may have.
"""
