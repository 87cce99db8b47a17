"""The recipes of the paper and of its reference implementation, as TOML files.

Each name is registered under the entry point group ``ebmdiag.recipes``; a third party registers a path alike.
"""

from importlib.resources import files

_HERE = files(__name__)

rings = _HERE / "rings.toml"
rings_nonconvergent = _HERE / "rings-nonconvergent.toml"
gmm = _HERE / "gmm.toml"
gmm_nonconvergent = _HERE / "gmm-nonconvergent.toml"
flowers = _HERE / "flowers.toml"
flowers_convergent = _HERE / "flowers-convergent.toml"
mnist = _HERE / "mnist.toml"
cifar10 = _HERE / "cifar10.toml"
cifar10_oscillating = _HERE / "cifar10-oscillating.toml"
gaussian = _HERE / "gaussian.toml"
