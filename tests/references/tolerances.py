"""Largest allowed errors by dtype."""

import torch

IOU = {torch.float32: 2e-5, torch.float64: 1e-11}  # rotated IoU, for aspect ratios up to 31
# Plain torch on the CPU and on CUDA, which rounds sine, cosine and fused multiplications differently
IOU_BETWEEN_DEVICES = {torch.float32: 1e-5, torch.float64: 1e-11}
IOU_GRADIENT = {
    torch.float32: 1e-4,
    torch.float64: 1e-9,
}  # relative to the larger of gradient and 1 / shortest side
CORNERS = {torch.float32: 1e-3, torch.float64: 1e-9}  # pixels, for boxes of up to a few hundred pixels
