// All kernel templates of one instruction set, and the table of them.
//
// A kernels_<isa>.cpp defines CONVSWEEP_ISA, includes its Vec header and then this file.
#pragma once

#include "kernels_impl_augment.h"
#include "kernels_impl_conv.h"
#include "kernels_impl_conv_columns.h"
#include "kernels_impl_conv_weights_outer.h"
#include "kernels_impl_elementwise.h"
#include "kernels_impl_gather.h"
#include "kernels_impl_gemm.h"
#include "kernels_impl_loss.h"
#include "kernels_impl_min_plus.h"
#include "kernels_impl_norm.h"
#include "kernels_impl_pool_fused.h"
#include "kernels_impl_recurrent.h"
#include "kernels_impl_winograd_weights.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

inline std::size_t conv2d_scratch_bytes(const ConvShape& s, int width) {
  if (const WinogradForm form = winograd_form(s)) return winograd_scratch_bytes(form, s, width);
  const int out = s.out_channels / s.groups, in = s.in_channels / s.groups, taps = s.kernel_h * s.kernel_w;
  const std::size_t a = ConvPlan(flattened(forward_taps(s, nullptr)), out, in * taps).bytes(width);
  const std::size_t b = columns_fit(s) ? ColumnsPlan(s).bytes(width)
                                       : ConvPlan(flattened(backward_taps(s, nullptr)), in, out * taps).bytes(width);
  const std::size_t c = outer_fits(s) ? OuterPlan(s, outer_taps(s, nullptr), width).bytes()
                                      : conv2d_weights_scratch_bytes(s, width);
  return larger(larger(a, b), c);
}

// Directly, or by Winograd's transforms where the shape gains from them.
inline void conv2d_forward(Parallel& parallel, const ConvShape& s, const float* x, const float* weights,
                           const float* bias, float* y, void* scratch) {
  if (const WinogradForm form = winograd_form(s)) return winograd_forward(parallel, form, s, x, weights, bias, y, scratch);
  direct_forward(parallel, s, x, weights, bias, y, scratch);
}

inline void conv2d_backward_data(Parallel& parallel, const ConvShape& s, const float* dy, const float* weights,
                                 float* dx, void* scratch) {
  if (const WinogradForm form = winograd_form(s)) return winograd_backward_data(parallel, form, s, dy, weights, dx, scratch);
  if (columns_fit(s)) return columns_backward_data(parallel, s, dy, weights, dx, scratch);
  direct_backward_data(parallel, s, dy, weights, dx, scratch);
}

inline void conv2d_backward_weights(Parallel& parallel, const ConvShape& s, const float* x, const float* dy,
                                    float* dweights, void* scratch) {
  if (const WinogradForm form = winograd_form(s)) return winograd_backward_weights(parallel, form, s, x, dy, dweights, scratch);
  if (outer_fits(s)) return outer_backward_weights(parallel, s, x, dy, dweights, scratch);
  direct_backward_weights(parallel, s, x, dy, dweights, scratch);
}

inline constexpr KernelTable make_table(Isa isa, const char* name) {
  KernelTable t{};
  t.isa = isa;
  t.name = name;
  t.gemm_scratch_bytes = &gemm_scratch_bytes;
  t.gemm = &gemm;
  t.conv2d_scratch_bytes = &conv2d_scratch_bytes;
  t.conv2d_forward = &conv2d_forward;
  t.conv2d_backward_data = &conv2d_backward_data;
  t.conv2d_backward_weights = &conv2d_backward_weights;
  t.linear_scratch_bytes = &linear_scratch_bytes;
  t.linear_forward = &linear_forward;
  t.linear_backward_data = &linear_backward_data;
  t.linear_backward_weights = &linear_backward_weights;
  t.recurrent_scratch_bytes = &recurrent_scratch_bytes;
  t.recurrent_forward = &recurrent_forward;
  t.recurrent_backward = &recurrent_backward;
  t.bias_gradient = &bias_gradient;
  t.relu_bias_gradient = &relu_bias_gradient;
  t.add_bias = &add_bias;
  t.relu_forward = &relu_forward;
  t.relu_backward = &relu_backward;
  t.leaky_relu_forward = &leaky_relu_forward;
  t.leaky_relu_backward = &leaky_relu_backward;
  t.tanh_forward = &tanh_forward;
  t.tanh_backward = &tanh_backward;
  t.sigmoid_forward = &sigmoid_forward;
  t.sigmoid_backward = &sigmoid_backward;
  t.add = &add;
  t.dropout = &dropout;
  t.max_pool2d_forward = &max_pool2d_forward;
  t.max_pool2d_backward = &max_pool2d_backward;
  t.max_pool2d_fused_scratch_bytes = &max_pool2d_fused_scratch_bytes;
  t.max_pool2d_fused_forward = &max_pool2d_fused_forward;
  t.max_pool2d_fused_backward = &max_pool2d_fused_backward;
  t.avg_pool2d_forward = &avg_pool2d_forward;
  t.avg_pool2d_backward = &avg_pool2d_backward;
  t.batch_norm_train = &batch_norm_train;
  t.batch_norm_eval = &batch_norm_eval;
  t.batch_norm_backward = &batch_norm_backward;
  t.softmax_cross_entropy = &softmax_cross_entropy;
  t.binary_cross_entropy = &binary_cross_entropy;
  t.sgd = &sgd;
  t.momentum = &momentum;
  t.rmsprop = &rmsprop;
  t.adam = &adam;
  t.all_finite = &all_finite;
  t.axpy = &axpy;
  t.fill = &fill;
  t.gather_images = &gather_images;
  t.augment_images = &augment_images;
  t.min_plus = &min_plus;
  return t;
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
