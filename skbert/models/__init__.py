"""Checkpoints and the networks that are made of them.

A checkpoint is a folder, a model of the Hugging Face hub or the packaged MiniLM. This
package finds it, checks it, builds the network, and saves and loads fitted models.
No pickle is read and no code of a checkpoint is run.
"""
