"""Convolutions written out: nothing but NumPy and loops."""

import numpy as np


def padded(inputs, kernel_shape, strides, dilation):
    """Pads as SAME does: the odd pixel goes to the end."""
    widths = [(0, 0)]
    for axis in (0, 1):
        size = inputs.shape[axis + 1]
        reach = (kernel_shape[axis] - 1) * dilation[axis] + 1
        num_outputs = -(-size // strides[axis])
        total = max((num_outputs - 1) * strides[axis] + reach - size, 0)
        widths.append((total // 2, total - total // 2))
    return np.pad(inputs, [*widths, (0, 0)])


def convolution(inputs, kernel, strides, padding, dilation=(1, 1), groups=1):
    """[batch, height, width, in] and [h, w, in / groups, out], in float64."""
    inputs, kernel = inputs.astype(np.float64), kernel.astype(np.float64)
    height, width, group_in, channels_out = kernel.shape
    if padding == "same":
        inputs = padded(inputs, kernel.shape, strides, dilation)
    reach = [
        (s - 1) * d + 1 for s, d in zip((height, width), dilation, strict=True)
    ]
    sizes = [
        (inputs.shape[axis + 1] - reach[axis]) // strides[axis] + 1
        for axis in (0, 1)
    ]
    outputs = np.zeros((len(inputs), *sizes, channels_out))
    group_out = channels_out // groups
    for row, column, y, x, group in np.ndindex(*sizes, height, width, groups):
        pixels = inputs[
            :,
            row * strides[0] + y * dilation[0],
            column * strides[1] + x * dilation[1],
            group * group_in : (group + 1) * group_in,
        ]
        chosen = slice(group * group_out, (group + 1) * group_out)
        outputs[:, row, column, chosen] += pixels @ kernel[y, x, :, chosen]
    return outputs


def transposed_convolution(inputs, kernel, size):
    """Stride 2, SAME: [h, w, in] and [3, 3, out, in] -> [*size, out].

    Each input pixel paints its 3 x 3 patch; where a patch begins is settled
    by the strided convolution that would lead from the output to the input.
    """
    outputs = np.zeros((*size, kernel.shape[2]))
    before = [
        max((inputs.shape[axis] - 1) * 2 + 3 - size[axis], 0) // 2
        for axis in (0, 1)
    ]
    for row, column, y, x in np.ndindex(*inputs.shape[:2], 3, 3):
        to_row, to_column = row * 2 + y - before[0], column * 2 + x - before[1]
        if 0 <= to_row < size[0] and 0 <= to_column < size[1]:
            outputs[to_row, to_column] += kernel[y, x] @ inputs[row, column]
    return outputs
