// The vectorised CPU kernels, as a table of functions: one table an instruction set, chosen by cpuid features.
//
// Guarantees:
//   * Same bytes from every table (AVX-512, AVX2 + FMA, scalar), for every `Parallel`. Each output element is one fixed
//     sequence of IEEE single-precision operations. Only the payload of a NaN may differ.
//   * No allocation, no global state, no exception. Where a kernel needs memory it takes `scratch`, 64-byte aligned, at
//     least as large as the matching ..._scratch_bytes() says for the same shape and for a width >= parallel.width().
//   * No read or write outside the arrays described here. No alignment needed except for scratch.
//   * Outputs are written with `=`, never added to, unless said otherwise. Inputs and outputs do not overlap, except
//   that
//     an elementwise kernel may have an output equal to an input where said.
// Not here: checking. Shapes and pointers have been validated by the caller.
//
// Layouts: activations [C][H][W][N] (batch innermost, no padding), after flatten [F][N]; linear weights [out][in]; conv
// weights [out][in / groups][kernel_h][kernel_w].
//
// The order of operations (part of the contract):
//   * A matrix product, and a convolution forward or backward to its data: acc = 0; for k = 0 .. K-1: acc = fma(a, b,
//   acc);
//     then acc + bias where there is a bias. A convolution's k runs over (kernel row, kernel column, channel); a tap
//     that falls on padding, or that a stride skips, takes no part.
//   * Backward to the data of a conv with fewer than 4 channels of x, 16 of y or more and 4 taps or more, each tap's sum over
//     channels comes first: kernels_impl_conv_columns.h.
//   * A convolution of many channels with a 2 x 2, 3 x 3 or 5 x 5 kernel of stride 1, or a 4 x 4 one of stride 2, goes through
//     Winograd's transforms instead where its shape alone gains from them; the order of its sums stands in
//     kernels_impl_winograd*.h and docs/decisions/0007.
//   * A reduction along the vector axis: element i of a contiguous run goes to partial sum i mod 16; at the end
//     p[i] += p[i+8] for i < 8, then +4, +2, +1. The weight gradient of a conv with few channels uses one output row
//     (wo, n) as the run and keeps its partial sums over the rows; there a tap on padding takes part with x = 0. Bias
//     gradients and batch-norm sums do this for chunks of 1024 elements and add the chunks in double.
//   * The weight gradient of a conv with 4 channels of x and 16 of y or more (in a group) sums chunks of an output row:
//     kernels_impl_conv_weights_outer.h. A tap on padding takes no part.
//   * Everything else is elementwise, or a loop over pixels or classes in ascending order for each n.
#pragma once

#include <cstddef>
#include <cstdint>

#include "parallel.h"

namespace convsweep::cpu {

enum class Isa : std::uint8_t { scalar = 0, avx2 = 1, avx512 = 2 };

struct ConvShape {
  int batch = 1;
  int groups = 1;
  int in_channels = 1, in_height = 1, in_width = 1;
  int out_channels = 1, out_height = 1, out_width = 1;
  int kernel_h = 1, kernel_w = 1;
  int stride_h = 1, stride_w = 1;
  // Padding above and left; below and right follow from the output's size.
  int pad_top = 0, pad_left = 0;
  // Forward only: y is cut off at 0.
  bool relu = false;
};

struct LinearShape {
  int batch = 1;
  int in_features = 1;
  int out_features = 1;
  // Forward only: y is cut off at 0.
  bool relu = false;
};

// A global pool is a pool whose window is the whole plane: see global_pool_shape().
struct PoolShape {
  int batch = 1;
  int channels = 1, in_height = 1, in_width = 1;
  int out_height = 1, out_width = 1;
  int size_h = 1, size_w = 1;
  int stride_h = 1, stride_w = 1;
  int pad_top = 0, pad_left = 0;
  // Windows of sizes of their own, of which `size` is the largest (ops/index.h, adaptive_span); no stride, no padding.
  bool adaptive = false;
};

inline PoolShape global_pool_shape(int batch, int channels, int height, int width) {
  return {batch, channels, height, width, 1, 1, height, width, 1, 1, 0, 0, false};
}

// A sequence is [features][steps][batch]. Weights: [gates * units][in_features], then [gates * units][units]; biases: two
// runs of [gates * units], of which the sum counts. Gates of the LSTM in PyTorch's order: input, forget, cell, output.
struct RecurrentShape {
  enum class Cell : std::uint8_t { tanh, lstm };
  Cell cell = Cell::tanh;
  int batch = 1, steps = 1;
  int in_features = 1, units = 1;
  // y holds the hidden state of each step, [units][steps][batch]; else of the last one, [units][batch].
  bool every_step = false;
};

// x and y are [channels][run]: run = height * width * batch, or batch for flat features.
// `relu`: y is cut off at 0, and dy is the gradient of that.
struct BatchNormShape {
  int channels = 1;
  std::int64_t run = 1;
  bool relu = false;
};

// Philox4x32-10: element e is word e % 4 of the block with counter (e / 4, counter1, counter2, counter3).
struct PhiloxStream {
  std::uint64_t key = 0;
  std::uint32_t counter1 = 0, counter2 = 0, counter3 = 0;
};

struct DropoutArgs {
  PhiloxStream stream;
  // An element is dropped when its random word is below this: round(rate * 2^32), at most 2^32 - 1.
  std::uint32_t drop_below = 0;
  // 1 / (1 - rate).
  float scale = 1.0F;
};

enum class Activation : std::uint8_t { none, relu, tanh };

// What a max pool does to its input first: the activation, then dropout, which only goes with relu.
struct PoolPrologue {
  Activation activation = Activation::none;
  bool dropout = false;
  DropoutArgs drop;
};

struct SoftmaxLossArgs {
  int classes = 1;
  int batch = 1;
  // Columns 0 .. valid-1 count; the gradient of the others is 0.
  int valid = 1;
  // t = (1 - s) * onehot + s / classes.
  float label_smoothing = 0.0F;
};

struct LossResult {
  // Sum over the valid columns in ascending order.
  double loss_sum = 0.0;
  // Columns whose largest logit (the first one on ties) is the label's. A column with a NaN counts as wrong.
  int correct = 0;
};

struct BinaryLossArgs {
  int batch = 1;
  // The targets of label 1 and of label 0.
  float one = 1.0F, zero = 0.0F;
  // The label of every image where none are given.
  int label = 1;
};

struct GatherArgs {
  // [image][channels][height][width].
  const std::uint8_t* images = nullptr;
  int channels = 1, height = 1, width = 1;
  // Image number of column n, for n < count.
  const std::int32_t* index = nullptr;
  int count = 0;
  // Columns of the output; columns count .. batch-1 are set to 0.
  int batch = 1;
  // value = fma(byte, scale[c], shift[c]).
  const float* scale = nullptr;
  const float* shift = nullptr;
  // Null, or per column. out(h, w) = in(h + offset_y, (flip ? width - 1 - w : w) + offset_x), 0 outside the image.
  const std::uint8_t* flip = nullptr;
  const std::int32_t* offset_y = nullptr;
  const std::int32_t* offset_x = nullptr;
};

// In place on normalised images [channels][height][width][batch]; value = fma(byte, scale[c], shift[c]) as gathered.
struct AugmentArgs {
  int channels = 1, height = 1, width = 1, batch = 1;
  const float* scale = nullptr;
  const float* shift = nullptr;
  // Factors, one an image; null together when colours stay.
  const float* brightness = nullptr;
  const float* contrast = nullptr;
  const float* saturation = nullptr;
  // First row and column of each image's square, `cutout` on a side; null when nothing is cut out.
  const std::int32_t* cut_row = nullptr;
  const std::int32_t* cut_column = nullptr;
  int cutout = 0;
};

struct SgdArgs {
  float learning_rate = 0.0F, l2 = 0.0F;
  // Decoupled decay: weights are multiplied by this first. 1 for none.
  float keep = 1.0F;
};
struct MomentumArgs {
  float learning_rate = 0.0F, l2 = 0.0F, momentum = 0.0F;
  bool nesterov = false;
  float keep = 1.0F;
};
struct RmspropArgs {
  float learning_rate = 0.0F, l2 = 0.0F, rho = 0.99F, epsilon = 1e-8F;
  float keep = 1.0F;
};
struct AdamArgs {
  // step_size = learning_rate / (1 - beta1^t); inv_sqrt_correction2 = 1 / sqrt(1 - beta2^t); both from double.
  float step_size = 0.0F, l2 = 0.0F, beta1 = 0.9F, beta2 = 0.999F, epsilon = 1e-8F, inv_sqrt_correction2 = 1.0F;
  float keep = 1.0F;
};

// Matrices with `stride` elements from row to row.
struct MinPlusArgs {
  int m = 0, n = 0, k = 0;
  const float* a = nullptr;
  std::int64_t a_stride = 0;
  const float* b = nullptr;
  std::int64_t b_stride = 0;
  float* c = nullptr;
  std::int64_t c_stride = 0;
  // Null unless paths are wanted; strides as a's and c's. Vertices as floats, exact up to 2^24.
  const float* next_a = nullptr;
  float* next_c = nullptr;
};

struct KernelTable {
  Isa isa;
  const char* name;

  // Row-major. C[m][n] = op(A) op(B) (+ row_bias[m] when not null). op(A) is m x k: A itself is [m][k], or [k][m] with
  // trans_a; op(B) is k x n.
  std::size_t (*gemm_scratch_bytes)(bool trans_a, bool trans_b, int m, int n, int k, int width);
  void (*gemm)(Parallel& parallel, bool trans_a, bool trans_b, int m, int n, int k, const float* a, std::int64_t lda,
               const float* b, std::int64_t ldb, const float* row_bias, float* c, std::int64_t ldc, void* scratch);

  // Enough for any of the three conv2d kernels below.
  std::size_t (*conv2d_scratch_bytes)(const ConvShape& shape, int width);
  // bias may be null.
  void (*conv2d_forward)(Parallel& parallel, const ConvShape& shape, const float* x, const float* weights,
                         const float* bias, float* y, void* scratch);
  void (*conv2d_backward_data)(Parallel& parallel, const ConvShape& shape, const float* dy, const float* weights,
                               float* dx, void* scratch);
  void (*conv2d_backward_weights)(Parallel& parallel, const ConvShape& shape, const float* x, const float* dy,
                                  float* dweights, void* scratch);

  // Enough for any of the three linear kernels below.
  std::size_t (*linear_scratch_bytes)(const LinearShape& shape, int width);
  void (*linear_forward)(Parallel& parallel, const LinearShape& shape, const float* x, const float* weights,
                         const float* bias, float* y, void* scratch);
  void (*linear_backward_data)(Parallel& parallel, const LinearShape& shape, const float* dy, const float* weights,
                               float* dx, void* scratch);
  // Over the batch in ascending order (a matrix product with k = n).
  void (*linear_backward_weights)(Parallel& parallel, const LinearShape& shape, const float* x, const float* dy,
                                  float* dweights, void* scratch);

  // `saved`: what a training forward leaves for its backward, saved_bytes() of ops/shape.h; null in evaluation.
  std::size_t (*recurrent_scratch_bytes)(const RecurrentShape& shape, int width);
  void (*recurrent_forward)(Parallel& parallel, const RecurrentShape& shape, const float* x, const float* weights,
                            const float* bias, float* y, float* saved, void* scratch);
  // Uses up `saved`. dx may be null.
  void (*recurrent_backward)(Parallel& parallel, const RecurrentShape& shape, const float* x, const float* dy,
                             const float* weights, float* dx, float* dweights, float* dbias, float* saved,
                             void* scratch);

  // dbias[c] = sum of dy[c][0 .. run-1]. For linear layers: channels = out_features, run = batch.
  void (*bias_gradient)(Parallel& parallel, int channels, std::int64_t run, const float* dy, float* dbias);
  // The same for a layer with relu behind it: dx = y > 0 ? dy : 0, and dbias, which may be null, its sums. dx may be dy.
  void (*relu_bias_gradient)(Parallel& parallel, int channels, std::int64_t run, const float* y, const float* dy,
                             float* dx, float* dbias);

  // y[c][0 .. run-1] += bias[c].
  void (*add_bias)(Parallel& parallel, int channels, std::int64_t run, const float* bias, float* y);

  // Elementwise over `count` floats; y may be x, dx may be dy. A NaN stays a NaN going forward.
  void (*relu_forward)(Parallel& parallel, std::int64_t count, const float* x, float* y);
  void (*relu_backward)(Parallel& parallel, std::int64_t count, const float* y, const float* dy, float* dx);
  void (*leaky_relu_forward)(Parallel& parallel, std::int64_t count, float slope, const float* x, float* y);
  // slope in [0, 1), so that y has the sign of x.
  void (*leaky_relu_backward)(Parallel& parallel, std::int64_t count, float slope, const float* y, const float* dy,
                              float* dx);
  void (*tanh_forward)(Parallel& parallel, std::int64_t count, const float* x, float* y);
  void (*tanh_backward)(Parallel& parallel, std::int64_t count, const float* y, const float* dy, float* dx);
  void (*sigmoid_forward)(Parallel& parallel, std::int64_t count, const float* x, float* y);
  void (*sigmoid_backward)(Parallel& parallel, std::int64_t count, const float* y, const float* dy, float* dx);
  // y may be a or b.
  void (*add)(Parallel& parallel, std::int64_t count, const float* a, const float* b, float* y);
  // Forward and backward are the same function: out = dropped ? 0 : in * scale. count <= 2^34.
  void (*dropout)(Parallel& parallel, std::int64_t count, const DropoutArgs& args, const float* in, float* out);

  // argmax[c][ho][wo][n] = kernel row * size_w + kernel column of the largest input (the first on ties; a NaN wins).
  // Padding never wins. argmax may be null (evaluation). size_h * size_w <= 65536.
  void (*max_pool2d_forward)(Parallel& parallel, const PoolShape& shape, const float* x, float* y,
                             std::uint16_t* argmax);
  void (*max_pool2d_backward)(Parallel& parallel, const PoolShape& shape, const float* dy, const std::uint16_t* argmax,
                              float* dx);
  // The pool with what stands before it in one; x is the input of that. For windows side by side without padding.
  // Backward reads the pooled y. Dropout's elements are those of x.
  std::size_t (*max_pool2d_fused_scratch_bytes)(const PoolShape& shape, int width);
  void (*max_pool2d_fused_forward)(Parallel& parallel, const PoolShape& shape, const PoolPrologue& before,
                                   const float* x, float* y, std::uint16_t* argmax, void* scratch);
  void (*max_pool2d_fused_backward)(Parallel& parallel, const PoolShape& shape, const PoolPrologue& before,
                                    const float* y, const float* dy, const std::uint16_t* argmax, float* dx);
  // Divides by size_h * size_w, padding counted as zeros (PyTorch's default).
  void (*avg_pool2d_forward)(Parallel& parallel, const PoolShape& shape, const float* x, float* y);
  void (*avg_pool2d_backward)(Parallel& parallel, const PoolShape& shape, const float* dy, float* dx);

  // y = (x - mean) * inv_std * gamma + beta with the batch's biased variance; saves mean and inv_std [channels];
  // updates running = (1 - momentum) * running + momentum * statistic, the variance unbiased (biased when run is 1).
  void (*batch_norm_train)(Parallel& parallel, const BatchNormShape& shape, float momentum, float epsilon,
                           const float* x, const float* gamma, const float* beta, float* y, float* mean, float* inv_std,
                           float* running_mean, float* running_var);
  void (*batch_norm_eval)(Parallel& parallel, const BatchNormShape& shape, float epsilon, const float* x,
                          const float* gamma, const float* beta, const float* running_mean, const float* running_var,
                          float* y);
  // dx may be dy, or null when only dgamma and dbeta are wanted.
  void (*batch_norm_backward)(Parallel& parallel, const BatchNormShape& shape, const float* x, const float* dy,
                              const float* gamma, const float* beta, const float* mean, const float* inv_std, float* dx,
                              float* dgamma, float* dbeta);

  // logits and dlogits are [classes][batch]; dlogits may be null (evaluation) or equal logits. Loss of a column:
  // -sum_c t_c log p_c. dlogits = (p - t) * (1 / valid). labels[n] in [0, classes) for n < valid.
  LossResult (*softmax_cross_entropy)(const SoftmaxLossArgs& args, const float* logits,
                                             const std::int32_t* labels, float* dlogits);

  // One logit an image. Loss: max(z, 0) - z t + log(1 + e^-|z|); dlogits = (sigmoid(z) - t) * (1 / batch), may be null
  // or equal logits. labels may be null. Correct are those with z > 0 just where the label is 1.
  LossResult (*binary_cross_entropy)(const BinaryLossArgs& args, const float* logits, const std::int32_t* labels,
                                            float* dlogits);

  // PyTorch's forms with g = gradient + l2 * w, and w first multiplied by keep:
  //   sgd       w -= lr * g
  //   momentum  v = mu * v + g; w -= lr * v            (nesterov: w -= lr * (g + mu * v))
  //   rmsprop   s = rho * s + (1 - rho) * g^2; w -= lr * g / (sqrt(s) + eps)
  //   adam      m = b1 * m + (1 - b1) * g; v = b2 * v + (1 - b2) * g^2;
  //             w -= step_size * m / (sqrt(v) * inv_sqrt_correction2 + eps)
  void (*sgd)(Parallel& parallel, std::int64_t count, const SgdArgs& args, const float* gradient, float* w);
  void (*momentum)(Parallel& parallel, std::int64_t count, const MomentumArgs& args, const float* gradient, float* w,
                   float* velocity);
  void (*rmsprop)(Parallel& parallel, std::int64_t count, const RmspropArgs& args, const float* gradient, float* w,
                  float* square);
  void (*adam)(Parallel& parallel, std::int64_t count, const AdamArgs& args, const float* gradient, float* w, float* m,
               float* v);

  // True when none is infinite or NaN.
  bool (*all_finite)(std::int64_t count, const float* x);
  // y = fma(a, x, y).
  void (*axpy)(Parallel& parallel, std::int64_t count, float a, const float* x, float* y);
  void (*fill)(Parallel& parallel, std::int64_t count, float value, float* y);

  // out is [channels][height][width][batch].
  void (*gather_images)(Parallel& parallel, const GatherArgs& args, float* out);
  // With u = byte / 255 as it would be: u * brightness; then towards the image's mean grey by contrast; then towards the
  // pixel's grey by saturation; each clamped to [0, 1]. Grey is .299 R + .587 G + .114 B with three channels, else the
  // mean of the channels. The mean is summed over the pixels in ascending order. Then the square becomes 0.
  void (*augment_images)(Parallel& parallel, const AugmentArgs& args, float* images);

  // c[i][j] = min(c[i][j], a[i][k] + b[k][j]) over k ascending, a later candidate only when smaller. With `next`,
  // next_c[i][j] becomes next_a[i][k] whenever c changes. n is a multiple of 32, m of 4; c is neither a nor b.
  void (*min_plus)(const MinPlusArgs& args);
};

// The best instruction set this processor and operating system can run; environment variable CONVSWEEP_ISA =
// avx512 | avx2 | scalar lowers it. Read once.
Isa best_isa() noexcept;
bool isa_supported(Isa isa) noexcept;
// Null when the processor cannot run it, or when it was not compiled in.
const KernelTable* kernels_for(Isa isa) noexcept;
// kernels_for(best_isa()); never null.
const KernelTable& kernels() noexcept;
const char* isa_name(Isa isa) noexcept;

}  // namespace convsweep::cpu
