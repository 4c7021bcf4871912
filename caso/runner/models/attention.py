"""Attention that can be differentiated twice."""

import torch


def use_plain_attention() -> None:
    """Let torch compute attention from matrix products and a softmax, from now on and in the whole process.

    Its fused kernels have no second derivative, on the CPU as on CUDA.
    """
    torch.backends.cuda.enable_math_sdp(True)
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.mha.set_fastpath_enabled(False)


def use_plain_timm_attention() -> None:
    """Do the same, and let timm's networks that are made from now on write it out as plain operations."""
    from timm.layers.config import set_fused_attn

    use_plain_attention()
    set_fused_attn(False)
