"""How a network is run on an image."""

from medbundles.inferers.autocast import AutocastInferer, resolve_amp
from medbundles.inferers.autoencoder import AutoencoderInferer
from medbundles.inferers.ensemble import EnsembleInferer
from medbundles.inferers.one_output import OneOutput
from medbundles.inferers.readable_inputs import ReadableInputs
from medbundles.inferers.windows import WindowInferer
