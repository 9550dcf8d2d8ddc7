from __future__ import annotations

import pytest
import torch
from monai.networks import nets

from medbundles.networks.swin_unetr import SwinUNETR


@pytest.mark.parametrize("dims", [2, 3])
def test_equal_to_monais(dims):
    torch.manual_seed(0)
    side = 64 if dims == 2 else 32
    theirs = nets.SwinUNETR(1, 3, feature_size=12, spatial_dims=dims, depths=(1,) * 4, norm_name="batch")
    ours = SwinUNETR(dims, 1, 3, embed_dim=12, layers=1, norm="batch")
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(2, 1, *[side] * dims)
    assert torch.equal(ours(image), theirs(image))


def test_layers_and_heads_are_those_of_the_stages():
    network = SwinUNETR(2, 1, 2, embed_dim=24, layers=1, heads=2)
    stages = [network.swinViT.get_submodule(f"layers{stage}.0") for stage in (1, 2, 3, 4)]
    assert [len(stage.blocks) for stage in stages] == [1] * 4
    assert [stage.blocks[0].attn.num_heads for stage in stages] == [2, 4, 8, 16]


def test_the_guides_embed_dim_is_that_of_the_published_network_of_62_million():
    assert round(sum(p.numel() for p in SwinUNETR(3, 1, 14).parameters()) / 1e5) == 622
