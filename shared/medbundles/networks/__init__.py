"""Networks, and how their weights are loaded and laid out."""

from medbundles.networks.autoencoder import Autoencoder, latent_factor
from medbundles.networks.bare import bare_network
from medbundles.networks.grading_resnet import GradingResNet
from medbundles.networks.loading import load_weights, read_weights
from medbundles.networks.medicalnet import load_medicalnet
from medbundles.networks.memory_format import to_device
from medbundles.networks.multitask_unet import MultitaskUNet
from medbundles.networks.segmentation_network import SegmentationNetwork
from medbundles.networks.task_output import TaskOutput
