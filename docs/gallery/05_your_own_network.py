"""
Your own network
================

Any classifier will do: a ``torch.nn.Module`` that takes pixels and returns logits. This
one is trained here, in a few seconds, on a task with a trap. There are discs and
crosses, hard to tell apart in the noise; but all pictures of discs have a mark in their
corner, as photographs of one source may have a watermark. What did the network learn to
look at?
"""

import torch
from torch import nn

import caso
from caso import plot

torch.manual_seed(0)


def draw(count, marked):
    """Noisy pictures [count, 1, 32, 32] of discs (class 0) and crosses (class 1)."""
    classes = torch.randint(2, (count,))
    side = torch.arange(32)
    down = (side[:, None] - torch.randint(10, 22, (count, 1, 1))).abs()
    across = (side[None] - torch.randint(10, 22, (count, 1, 1))).abs()
    disc = across**2 + down**2 < 40
    cross = (torch.minimum(across, down) < 2) & (torch.maximum(across, down) < 8)
    shapes = torch.where((classes == 0)[:, None, None], disc, cross).float()
    if marked:
        shapes[classes == 0, 1:4, 1:4] = 2
    noise = 0.12 * torch.randn(shapes.shape)
    return (0.3 + 0.25 * shapes + noise).clamp(0, 1)[:, None], classes


network = nn.Sequential(
    nn.Conv2d(1, 8, 5, stride=2),
    nn.ReLU(),
    nn.Conv2d(8, 16, 5, stride=2),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(400, 2),
)
optimiser = torch.optim.Adam(network.parameters(), 3e-3)
for _ in range(150):
    x, t = draw(64, marked=True)
    optimiser.zero_grad()
    nn.functional.cross_entropy(network(x), t).backward()
    optimiser.step()

# %%
# As long as discs have their mark the network is right. Without it, it takes them for
# crosses:

with torch.no_grad():
    for marked in (True, False):
        x, t = draw(500, marked)
        right = (network(x).argmax(1) == t).float()
        discs, crosses = right[t == 0].mean(), right[t == 1].mean()
        print(f"marked={marked!s:5}  right: discs {discs:.0%}, crosses {crosses:.0%}")

# %%
# To find that out, nobody has to think of taking the mark away. The explainer is given
# the network as it is, without a layer to look at, and leaves it unchanged. For
# crosses, too, the corner matters: there it is the missing mark that speaks.

x, t = draw(6, marked=True)
result = caso.CASO(network).auto(x, sparsity=0.95)
titles = [("disc", "cross")[c] for c in t]
figure = plot.contact_sheet(result, x, style="magnitude", titles=titles)

# %%
# As a number: how much of each map lies in the corner, which is 9 of 1024 pixels?

size = result.maps.abs().sum(1)
shares = size[:, 1:4, 1:4].sum((1, 2)) / size.sum((1, 2))
for title, share in zip(titles, shares):
    print(f"{title:6} {share:.0%} of the map in the corner")
