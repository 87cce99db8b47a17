"""Data sets: two densities with a known truth, and images of 32x32.

Start with :func:`load_dataset`; the training loop asks no more of a data set than :class:`Dataset`.
"""

from ebmdiag_trainers.data.cache import cache_folder
from ebmdiag_trainers.data.contract import Dataset
from ebmdiag_trainers.data.gaussian import Gaussian
from ebmdiag_trainers.data.images import ImageSet
from ebmdiag_trainers.data.loading import load_dataset
from ebmdiag_trainers.data.sources import SOURCES
from ebmdiag_trainers.data.toy import EightGaussians, Rings

__all__ = ["SOURCES", "Dataset", "EightGaussians", "Gaussian", "ImageSet", "Rings", "cache_folder", "load_dataset"]
