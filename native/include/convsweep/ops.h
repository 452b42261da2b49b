// What an operation is to a backend: its shape and attributes, and the memory and numbers of one call.
//
// Layout: activations of a lane are [channel][row][column][image], the image innermost and unpadded, so the features
// after a flatten are [feature][image] with features in (channel, row, column) order. Weights have PyTorch's layout:
// linear [out][in], conv2d [out][in / groups][kernel row][kernel column], conv_transpose2d [in][out / groups][kernel
// row][kernel column].
// A sequence has its features as channels, one row, and its steps as columns, as PyTorch's Conv1d has it. So a linear layer
// at each step is a 1x1 convolution, and logits of [classes][1][steps][image] are [classes][n] with n = steps * images.
//
// Convention: backward WRITES everything it yields (dx, dweight, dbias) with `=`; nothing accumulates across calls, so
// no gradient is ever cleared. dlogits are divided by the number of images, so gradients are those of the mean loss.
// dx is null when nobody needs it, and so is dweight (and with it dbias) of a linear layer or a convolution.
//
// A call covers several lanes: pointers with a stride from lane to lane, and per-lane numbers in arrays indexed by the
// lane. A CUDA backend launches once for all of them; the CPU and reference backends are called with one.
//
// Everything here is plain data that a kernel can take by value.
#pragma once

#include <cstddef>
#include <cstdint>

#include "convsweep/hd.h"
#include "convsweep/rng.h"

namespace convsweep {

enum class Op : std::uint8_t {
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) name,
#define CONVSWEEP_JOIN_OP(name) name,
#define CONVSWEEP_LOSS_OP(name) name,
#define CONVSWEEP_UPDATE_OP(name, state) name,
#include "ops/ops.def"
};

const char* op_name(Op op);

struct Extent {
  int channels = 0, rows = 0, columns = 0;
  CONVSWEEP_HD std::int64_t size() const { return std::int64_t{channels} * rows * columns; }
  CONVSWEEP_HD std::int64_t plane() const { return std::int64_t{rows} * columns; }
  bool operator==(const Extent&) const = default;
};

// Shape and attributes of a layer. Fields that an operation does not use keep their defaults. Made and validated by
// infer_layer (src/ops/shape.h) only; kernels trust it.
struct LayerShape {
  Op op = Op::flatten;
  Extent in, out;
  // Of an adaptive pool the largest window.
  int kernel_rows = 1, kernel_columns = 1;
  int stride_rows = 1, stride_columns = 1;
  // Zero padding before the first row and column. After the last there is as much as `out` needs. conv_transpose2d: rows
  // and columns cut off the output instead.
  int pad_top = 0, pad_left = 0;
  int groups = 1;
  bool bias = false;
  // rnn, lstm: yield the hidden state of every step instead of the last one's.
  bool every_step = false;
  int vocabulary = 0;  // embedding
  float slope = 0;     // leaky_relu, in [0, 1)
  float rate = 0;      // dropout, in [0, 1)
  float momentum = 0;  // batch_norm
  float epsilon = 0;   // batch_norm
  // Position in the network; keys the layer's random draws.
  std::uint32_t layer = 0;
};

// A tensor of each lane: lane i's starts at base + i * stride elements.
template <class T>
struct Lanes {
  T* base = nullptr;
  std::ptrdiff_t stride = 0;
  CONVSWEEP_HD T* operator[](int lane) const { return base + lane * stride; }
  explicit operator bool() const { return base != nullptr; }
  operator Lanes<const T>() const { return {base, stride}; }
};

// The lanes of a call: ids[0..count), or first, first + 1, ... when ids is null.
struct LaneSet {
  int first = 0;
  int count = 1;
  const std::int32_t* ids = nullptr;
  CONVSWEEP_HD int operator[](int i) const { return ids != nullptr ? ids[i] : first + i; }
};

// The numbers an update needs, all derived on the host in one way for every backend (src/model/schedule.cpp).
struct UpdateScalars {
  float learning_rate = 0;
  // Decay in the loss adds l2 * weight to the gradient; decoupled decay multiplies the weight by `keep` before the step
  // (I. Loshchilov, F. Hutter, Decoupled Weight Decay Regularization, 2019). One of them is 0 or 1 and does nothing.
  float l2 = 0, keep = 1;
  float momentum = 0;
  float rho = 0, epsilon = 0;  // rmsprop; epsilon also adam
  float beta1 = 0, beta2 = 0;
  // adam: learning_rate / (1 - beta1^t) and 1 / sqrt(1 - beta2^t), computed in double, t counted from 1.
  float step_size = 0, inverse_sqrt_correction2 = 0;
};

// How a lane's training images are changed; all 0 for not at all. native/recipe.ts says what they mean.
struct AugmentScalars {
  // Probability.
  float flip = 0;
  std::uint32_t crop_padding = 0, cutout = 0;
  float brightness = 0, contrast = 0, saturation = 0;
  CONVSWEEP_HD bool moves() const { return flip > 0 || crop_padding > 0; }
  CONVSWEEP_HD bool colours() const { return brightness > 0 || contrast > 0 || saturation > 0; }
};

// What differs from lane to lane in a step. Session keeps one a lane, on the device.
struct LaneScalars {
  std::uint64_t key = 0;
  // Optimiser steps done before this one; keys dropout.
  std::uint32_t step = 0;
  std::uint32_t epoch = 0;
  // First position of the batch in the epoch's order.
  std::uint32_t position = 0;
  // Replaces LayerShape::rate in every dropout layer unless NaN.
  float dropout = 0;
  float label_smoothing = 0;
  AugmentScalars augment;
  UpdateScalars update;
};

// What binary_cross_entropy compares with: the labels (0 or 1), spread by label smoothing as in two classes, or the same
// for every image: 1, 1 - label_smoothing (one-sided smoothing: Salimans et al. 2016), 0.
enum class BinaryTarget : std::uint8_t { labels, one, smoothed_one, zero };

// What a batch yielded. The loss op writes it with `=`.
struct LaneMetrics {
  // Summed over the images, in double, in one fixed order. With label smoothing it is the smoothed loss.
  double loss_sum = 0;
  std::int32_t correct = 0;
};

// Neighbours that a layer does along with its own work, where the backend fuses (Backend::fuses) and the result keeps its
// bytes. What is between them is then never written.
struct Fusion {
  // max_pool2d: relu or tanh, and after relu perhaps dropout, in front of the pool. flatten: nothing.
  Op activation = Op::flatten;
  bool dropout = false;
  float rate = 0;
  std::uint32_t dropout_layer = 0;
  // batch_norm, conv2d and linear: relu behind it. y is that of the relu, dy its gradient; conv2d and linear leave in
  // LayerCall::dcut what the relu lets through.
  bool relu_behind = false;

  bool pool() const { return activation != Op::flatten; }
};

template <class Real>
struct BasicLayerCall {
  LayerShape shape;
  Fusion fusion;
  // Images in this batch; the innermost extent of every activation.
  int n = 0;
  // Training: batch_norm uses batch statistics and moves the running ones, dropout drops. Backward implies it.
  bool training = false;
  LaneSet lanes;
  const LaneScalars* scalars = nullptr;

  Lanes<const Real> x;
  Lanes<Real> y;  // forward writes it; backward may read it where ops.def says so
  Lanes<const Real> dy;
  Lanes<Real> dx;
  // Only with Fusion::relu_behind; may be dy's memory.
  Lanes<Real> dcut;

  // batch_norm: weight is gamma, bias is beta, [channels] each. rnn, lstm: weight is weight_ih and, right behind it,
  // weight_hh; bias is bias_ih and bias_hh. embedding: weight is [vocabulary][units].
  Lanes<const Real> weight, bias;
  Lanes<Real> dweight, dbias;
  // batch_norm only, [channels] each.
  Lanes<Real> running_mean, running_var;

  // What a training forward leaves for its backward, saved_bytes(shape, n) of it: batch_norm {mean, 1 / sqrt(var +
  // epsilon)} as Real[2][channels]; max pools the winner of each output element as an index into its window (row *
  // kernel_columns + column), uint16; ties go to the first; rnn and lstm what recurrent_saved_rows says.
  Lanes<std::byte> saved;
  // scratch_bytes(shape, n) of the backend, free for any use within the call.
  Lanes<std::byte> scratch;
};
using LayerCall = BasicLayerCall<float>;

// y = a + b, or y = a: how values are joined, and how the gradients of a value that several layers read are summed.
template <class Real>
struct BasicJoinCall {
  // Elements of each.
  std::int64_t count = 0;
  LaneSet lanes;
  Lanes<const Real> a, b;
  // May be the same memory as a or b.
  Lanes<Real> y;
};
using JoinCall = BasicJoinCall<float>;

template <class Real>
struct BasicLossCall {
  int n = 0, classes = 0;
  LaneSet lanes;
  const LaneScalars* scalars = nullptr;
  Lanes<const Real> logits;  // [classes][n]; binary_cross_entropy: [1][n], `classes` is 1
  Lanes<const std::int32_t> labels;
  BinaryTarget target = BinaryTarget::labels;  // binary_cross_entropy; only `labels` reads labels
  // (softmax - target) / n, (sigmoid - target) / n; null when only the loss is wanted.
  Lanes<Real> dlogits;
  // Indexed by lane.
  LaneMetrics* metrics = nullptr;
};
using LossCall = BasicLossCall<float>;

template <class Real>
struct BasicUpdateCall {
  // All parameters of a lane as one run, the first `decayed` of which UpdateScalars::l2 and ::keep are for.
  std::int64_t count = 0, decayed = 0;
  bool nesterov = false;
  LaneSet lanes;
  const LaneScalars* scalars = nullptr;
  Lanes<Real> weight;
  Lanes<const Real> gradient;
  Lanes<Real> state0, state1;
};
using UpdateCall = BasicUpdateCall<float>;

// Takes a batch out of the data set: [image][c][h][w] bytes to [c][h][w][n] floats, value * scale[c] + shift[c] with
// one fused multiply-add.
struct GatherCall {
  Extent image;
  int n = 0;
  LaneSet lanes;
  const LaneScalars* scalars = nullptr;
  const std::uint8_t* images = nullptr;
  const std::uint8_t* labels = nullptr;
  // Labels an image has; out_labels is [position][n].
  int positions = 1;
  const float* scale = nullptr;
  const float* shift = nullptr;
  // The images from which the order is drawn; image of position p is permutation(p) when `shuffle`, else p, plus
  // `first_image`.
  std::uint32_t size = 0, first_image = 0;
  bool shuffle = false;
  // LaneScalars::augment holds; off outside training. Cropped-in border is 0 after normalisation.
  bool augment = false;
  Lanes<float> x;
  Lanes<std::int32_t> out_labels;
  // gather_scratch_bytes(n), free for any use within the call.
  Lanes<std::byte> scratch;
};

// Normal deviates: the input of a generator. Value j of image i is element (first + i) * count + j of its draw, whatever
// the batch.
struct NormalCall {
  // Values of an image.
  int count = 0;
  int n = 0;
  Purpose purpose = Purpose::latent;
  std::uint32_t first = 0;
  LaneSet lanes;
  // key; of `latent` also step.
  const LaneScalars* scalars = nullptr;
  Lanes<float> x;  // [count][n]
};

// Labels as planes: plane c of an image is 1 everywhere when its label is c, else 0.
struct OneHotCall {
  int classes = 0;
  // Elements of a plane.
  std::int64_t plane = 1;
  int n = 0;
  LaneSet lanes;
  Lanes<const std::int32_t> labels;
  Lanes<float> y;  // [classes][plane][n]
};

CONVSWEEP_HD constexpr std::size_t gather_scratch_bytes(int n) { return static_cast<std::size_t>(n) * 40; }

}  // namespace convsweep
