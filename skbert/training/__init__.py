"""From a plan of a fit to a trained network.

`fit_plan` checks every argument before any weights are loaded, `fit` runs the plan, and
`net` is the skorch net that trains. Everything else is a part of one training step or
one epoch.
"""
