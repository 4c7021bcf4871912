"""
With Captum and Quantus
=======================

The three go together. An explainer is one of Captum's attribution methods to Captum's own code, and Quantus takes
it in a line; Captum's methods, in turn, are among those that caso compares itself with.
"""

import warnings
from pathlib import Path

import captum.attr
import captum.metrics
import skimage
import torch
from PIL import Image

import caso
from caso import plot
from caso.runner.models import load_model

with warnings.catch_warnings():  # of what it imports
    warnings.simplefilter("ignore")
    import quantus

network, preprocessing, names = load_model("efficientnet_lite0")
x = preprocessing(Image.open(Path(skimage.__file__).parent / "data" / "coffee.png"))[None]
t = network(x).argmax(1)

# %%
# Maps of Captum beside those of caso. Their units differ, so that each has a scale of its own.

explainer = caso.CASO(network)
maps = {
    "CASO": explainer.attribute(x, target=t),
    "IntegratedGradients": captum.attr.IntegratedGradients(network).attribute(
        x, target=t, n_steps=16, internal_batch_size=8
    ),
    "Occlusion": captum.attr.Occlusion(network).attribute(x, (3, 48, 48), (3, 32, 32), target=t),
}
figure = plot.compare_maps(maps, x, style="magnitude", shared=False)

# %%
# Captum's measures and its noise tunnel take the explainer.

torch.manual_seed(0)
print("sensitivity_max", captum.metrics.sensitivity_max(explainer.attribute, x, target=t, n_perturb_samples=3).item())
averaged = captum.attr.NoiseTunnel(explainer).attribute(x, nt_type="smoothgrad", nt_samples=4, stdevs=0.05, target=t)

# %%
# Quantus takes a function from a network and arrays to maps, or maps that there are already.


def explain(model, inputs, targets, **_):
    return caso.CASO(model).attribute(torch.as_tensor(inputs), torch.as_tensor(targets)).numpy()


common = {"model": network, "x_batch": x.numpy(), "y_batch": t.numpy(), "device": "cpu"}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    sparseness = quantus.Sparseness(abs=True, normalise=False, disable_warnings=True)
    print("sparseness, CASO", sparseness(**common, explain_func=explain)[0])
    for name, found in maps.items():
        print("sparseness,", name, sparseness(**common, a_batch=found.numpy())[0])
