"""The embedding stage: E, the query and all its resyntheses in one batch.

Nothing is imported up here: the API reads specifications of embedders, and neither arrays nor images.
"""
