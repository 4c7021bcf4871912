"""
With Captum and Quantus
=======================

The three go together. An explainer is one of Captum's attribution methods to Captum's
own code, and Quantus takes it in a line; Captum's methods, in turn, are among those
that caso compares itself with.
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
file = Path(skimage.__file__).parent / "data" / "coffee.png"
x = preprocessing(Image.open(file))[None]
t = network(x).argmax(1)

# %%
# Maps of Captum beside those of caso. Their units differ, so that each has a scale of
# its own.

explainer = caso.CASO(network)
integrated = captum.attr.IntegratedGradients(network)
occlusion = captum.attr.Occlusion(network)
maps = {
    "CASO": explainer.attribute(x, target=t),
    "Integrated gradients": integrated.attribute(x, target=t, n_steps=16),
    "Occlusion": occlusion.attribute(x, (3, 48, 48), strides=(3, 32, 32), target=t),
}
figure = plot.compare_maps(maps, x, style="magnitude", shared=False)

# %%
# Captum's measures and its noise tunnel take the explainer.

torch.manual_seed(0)
sensitivity = captum.metrics.sensitivity_max(
    explainer.attribute, x, target=t, n_perturb_samples=3
)
print(f"largest relative change of the map: {sensitivity.item():.3f}")

tunnel = captum.attr.NoiseTunnel(explainer)
averaged = tunnel.attribute(x, target=t, nt_samples=4, stdevs=0.05)

# %%
# Quantus takes a function from a network and arrays to maps, or maps that there are
# already. Both ways give the same here:


def explain(model, inputs, targets, **_):
    pixels, classes = torch.as_tensor(inputs), torch.as_tensor(targets)
    return caso.CASO(model).attribute(pixels, classes).numpy()


given = {"model": network, "x_batch": x.numpy(), "y_batch": t.numpy(), "device": "cpu"}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    measure = quantus.Sparseness(abs=True, normalise=False, disable_warnings=True)
    by_function = measure(**given, explain_func=explain)
    by_maps = {name: measure(**given, a_batch=maps[name].numpy()) for name in maps}

print(f"sparseness of CASO, by the function: {by_function[0]:.3f}")
for name, score in by_maps.items():
    print(f"sparseness of {name}: {score[0]:.3f}")
