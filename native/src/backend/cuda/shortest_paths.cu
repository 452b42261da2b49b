// Shortest paths between all vertices: Floyd and Warshall by blocks (G. Venkataraman, S. Sahni, S. Mukhopadhyaya, A
// Blocked All-Pairs Shortest-Paths Algorithm, 2003; on GPUs: G. Katz, J. Kider 2008). For each square k of the
// diagonal: close it; then the squares of its row and column; then all others, which are independent of each other.
//
// The matrix itself is the work space: squares at its edge see no edges beyond it. A vertex on a negative cycle is
// looked for after each k and kept on the device until the end.
#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

constexpr int side = 32;
// Threads of a block: side x square_rows, each with side / square_rows rows of a square.
constexpr int square_rows = 8, rows_a_thread = side / square_rows;

struct Paths {
  int vertices;
  float* distance;
  std::int32_t* next;  // null unless wanted
  std::int32_t* negative;
  __device__ std::int64_t at(int row, int column) const { return std::int64_t{row} * vertices + column; }
};

// A square in shared memory, with a column more so that columns spread over the banks.
struct Square {
  float distance[side][side + 1];
  std::int32_t next[side][side + 1];

  __device__ void read(const Paths& p, int block_row, int block_column) {
    for (int i = static_cast<int>(threadIdx.y); i < side; i += square_rows) {
      const int j = static_cast<int>(threadIdx.x), row = block_row * side + i, column = block_column * side + j;
      const bool there = row < p.vertices && column < p.vertices;
      distance[i][j] = there ? p.distance[p.at(row, column)] : INFINITY;
      next[i][j] = there && p.next != nullptr ? p.next[p.at(row, column)] : -1;
    }
  }
  __device__ void write(const Paths& p, int block_row, int block_column) const {
    for (int i = static_cast<int>(threadIdx.y); i < side; i += square_rows) {
      const int j = static_cast<int>(threadIdx.x), row = block_row * side + i, column = block_column * side + j;
      if (row >= p.vertices || column >= p.vertices) continue;
      p.distance[p.at(row, column)] = distance[i][j];
      if (p.next != nullptr) p.next[p.at(row, column)] = next[i][j];
    }
  }
};

__global__ void __launch_bounds__(element_threads) begin_paths_kernel(LaneSet one, Paths p) {
  const std::int64_t count = std::int64_t{p.vertices} * p.vertices;
  for (std::int64_t i = first_element(one); i < count; i += element_stride(one)) {
    const int row = static_cast<int>(i / p.vertices), column = static_cast<int>(i % p.vertices);
    const float weight = p.distance[i];
    if (p.next != nullptr) p.next[i] = row == column ? row : weight < INFINITY ? column : -1;
    if (row == column && 0.0F < weight) p.distance[i] = 0.0F;
    if (i == 0) *p.negative = -1;
  }
}

// Improves a square by paths over the vertices of square k: c = min(c, a + b), where a or b may be c itself. A step
// over one vertex reads row and column of that vertex alone; where these belong to c they do not change in that step
// unless there is a negative cycle, so what a step writes waits until all have read.
__device__ inline void improve(Square& c, const Square& a, const Square& b) {
  const int j = static_cast<int>(threadIdx.x), first = static_cast<int>(threadIdx.y);
  for (int via = 0; via < side; ++via) {
    float candidate[rows_a_thread];
    std::int32_t towards[rows_a_thread];
    for (int r = 0; r < rows_a_thread; ++r) {
      const int i = first + r * square_rows;
      candidate[r] = a.distance[i][via] + b.distance[via][j];
      towards[r] = a.next[i][via];
    }
    __syncthreads();
    for (int r = 0; r < rows_a_thread; ++r) {
      const int i = first + r * square_rows;
      if (candidate[r] < c.distance[i][j]) {
        c.distance[i][j] = candidate[r];
        c.next[i][j] = towards[r];
      }
    }
    __syncthreads();
  }
}

__global__ void __launch_bounds__(side* square_rows) close_square_kernel(Paths p, int k) {
  CONVSWEEP_SHARED(Square, square);
  square.read(p, k, k);
  __syncthreads();
  improve(square, square, square);
  square.write(p, k, k);
}

// Blocks are the squares of row k, then those of column k.
__global__ void __launch_bounds__(side* square_rows) cross_kernel(Paths p, int k, int squares) {
  CONVSWEEP_SHARED(Square, pivot);
  CONVSWEEP_SHARED(Square, square);
  const int index = static_cast<int>(blockIdx.x) % squares;
  const bool along_row = static_cast<int>(blockIdx.x) < squares;
  if (index == k) return;
  const int row = along_row ? k : index, column = along_row ? index : k;
  pivot.read(p, k, k);
  square.read(p, row, column);
  __syncthreads();
  if (along_row) {
    improve(square, pivot, square);
  } else {
    improve(square, square, pivot);
  }
  square.write(p, row, column);
}

// All other squares: independent, so a thread keeps its elements in registers.
__global__ void __launch_bounds__(side* square_rows) others_kernel(Paths p, int k, int squares) {
  CONVSWEEP_SHARED(Square, from);
  CONVSWEEP_SHARED(Square, to);
  const int row = static_cast<int>(blockIdx.x) / squares, column = static_cast<int>(blockIdx.x) % squares;
  if (row == k || column == k) return;
  from.read(p, row, k);
  to.read(p, k, column);
  __syncthreads();
  const int j = static_cast<int>(threadIdx.x), y = column * side + j;
  for (int r = 0; r < rows_a_thread; ++r) {
    const int i = static_cast<int>(threadIdx.y) + r * square_rows, x = row * side + i;
    if (x >= p.vertices || y >= p.vertices) continue;
    float best = p.distance[p.at(x, y)];
    std::int32_t towards = p.next != nullptr ? p.next[p.at(x, y)] : -1;
    for (int via = 0; via < side; ++via) {
      const float candidate = from.distance[i][via] + to.distance[via][j];
      if (candidate < best) {
        best = candidate;
        towards = from.next[i][via];
      }
    }
    p.distance[p.at(x, y)] = best;
    if (p.next != nullptr) p.next[p.at(x, y)] = towards;
  }
}

// The first vertex whose way back to itself is shorter than nothing, unless one was found before. One warp.
__global__ void __launch_bounds__(32) find_negative_kernel(Paths p) {
  constexpr unsigned whole_warp = 0xFFFFFFFFU;
  if (*p.negative >= 0) return;
  int first = p.vertices;
  for (int i = static_cast<int>(threadIdx.x); i < p.vertices && first == p.vertices; i += 32) {
    if (p.distance[p.at(i, i)] < 0.0F) first = i;
  }
  for (int distance = 16; distance > 0; distance /= 2) {
    const int other = __shfl_xor_sync(whole_warp, first, distance);
    first = other < first ? other : first;
  }
  if (threadIdx.x == 0 && first < p.vertices) *p.negative = first;
}

// Copies from the device once everything before in the stream is done, and waits for it.
void read_back([[maybe_unused]] ExecutionContext& context, void* host, const void* device, std::size_t bytes) {
#if defined(__CUDACC__)
  const cudaStream_t stream = cast(context).stream;
  cudaError_t status = cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream);
  if (status == cudaSuccess) status = cudaStreamSynchronize(stream);
  if (status != cudaSuccess) throw cuda_error(status, "reading from the device");
#else
  std::memcpy(host, device, bytes);
#endif
}

}  // namespace

void shortest_paths(ExecutionContext& context, ShortestPathsCall& call) {
  const cudaStream_t stream = cast(context).stream;
  const Paths p{call.vertices, call.distance, call.next, reinterpret_cast<std::int32_t*>(call.scratch)};
  const int squares = (call.vertices + side - 1) / side;
  const unsigned s = static_cast<unsigned>(squares);
  const dim3 block(side, square_rows);
  const LaneSet one;
  CONVSWEEP_LAUNCH(begin_paths_kernel, element_grid(one, std::int64_t{call.vertices} * call.vertices),
                   dim3(element_threads), 0, stream, one, p);
  for (int k = 0; k < squares; ++k) {
    CONVSWEEP_LAUNCH(close_square_kernel, dim3(1), block, 0, stream, p, k);
    CONVSWEEP_LAUNCH(find_negative_kernel, dim3(1), dim3(32), 0, stream, p);
    if (squares == 1) break;
    CONVSWEEP_LAUNCH(cross_kernel, dim3(2 * s), block, 0, stream, p, k, squares);
    CONVSWEEP_LAUNCH(others_kernel, dim3(s * s), block, 0, stream, p, k, squares);
    CONVSWEEP_LAUNCH(find_negative_kernel, dim3(1), dim3(32), 0, stream, p);
  }
  std::int32_t found = -1;
  read_back(context, &found, p.negative, sizeof found);
  call.negative_cycle = found;
}

std::size_t shortest_paths_scratch_bytes(int, bool, int) { return sizeof(std::int32_t); }

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
