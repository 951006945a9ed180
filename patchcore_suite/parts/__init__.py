"""Parts of your own: from a folder of photographs to a model that judges others, from the command line or Python.

from patchcore_suite.parts.fitting import fit
from patchcore_suite.parts.model import PartsModel

model = fit("photographs/good")
model.save("model")
judgements = PartsModel.load("model").judge(["new/1.png", "new/2.png"])
"""
