#include "backend/cuda/cuda_device.h"

#include <utility>

#include "backend/cuda/kernels.h"

namespace convsweep::cuda {
namespace {

// What the driver takes for itself as kernels are loaded and grow their stacks; not promised to lanes.
constexpr std::size_t reserve = std::size_t{128} << 20;

void check(cudaError_t status, const std::string& what) {
  if (status != cudaSuccess) throw cuda_error(status, what);
}

// Kernels launched as one.
class CudaGraph final : public Recording {
 public:
  // Takes the graph.
  CudaGraph(int index, std::string id, cudaStream_t stream, cudaGraph_t graph)
      : index_(index), id_(std::move(id)), stream_(stream) {
    const cudaError_t status = cudaGraphInstantiate(&graph_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "a graph on " + id_);
  }
  ~CudaGraph() override {
    cudaSetDevice(index_);
    cudaGraphExecDestroy(graph_);
    cudaGetLastError();
  }
  void replay() override {
    check(cudaSetDevice(index_), "choosing " + id_);
    check(cudaGraphLaunch(graph_, stream_), "launching a graph on " + id_);
  }

 private:
  const int index_;
  const std::string id_;
  const cudaStream_t stream_;
  cudaGraphExec_t graph_ = nullptr;
};

class CudaQueue final : public device::Queue {
 public:
  CudaQueue(int index, std::string id) : index_(index), id_(std::move(id)) {
    choose();
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream on " + id_);
  }
  ~CudaQueue() override {
    cudaSetDevice(index_);
    cudaStreamDestroy(stream_);
    // Nobody else should meet what was said here.
    cudaGetLastError();
  }
  std::unique_ptr<ExecutionContext> context() override {
    choose();
    return std::make_unique<CudaContext>(stream_);
  }
  std::unique_ptr<Recording> record(const std::function<void()>& calls) override {
    choose();
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "recording on " + id_);
    cudaGraph_t graph = nullptr;
    try {
      calls();
    } catch (...) {
      cudaStreamEndCapture(stream_, &graph);
      cudaGraphDestroy(graph);
      cudaGetLastError();
      throw;
    }
    check(cudaStreamEndCapture(stream_, &graph), "recording on " + id_);
    return std::make_unique<CudaGraph>(index_, id_, stream_, graph);
  }
  void clear(void* memory, std::size_t bytes) override {
    choose();
    check(cudaMemsetAsync(memory, 0, bytes, stream_), "clearing memory on " + id_);
  }
  void copy_in(void* device, const void* host, std::size_t bytes) override {
    choose();
    check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_), "copying to " + id_);
    wait();
  }
  void copy_out(void* host, const void* device, std::size_t bytes) override {
    choose();
    check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_), "copying from " + id_);
    wait();
  }

 private:
  // Of the calling thread; kernels that follow are launched there too.
  void choose() { check(cudaSetDevice(index_), "choosing " + id_); }
  void wait() { check(cudaStreamSynchronize(stream_), "waiting for " + id_); }

  const int index_;
  const std::string id_;
  cudaStream_t stream_ = nullptr;
};

class CudaRuntime final : public device::Runtime {
 public:
  CudaRuntime(int index, std::string generation)
      : index_(index), id_("cuda:" + std::to_string(index)), generation_(std::move(generation)) {
    choose();
  }
  std::string backend() const override { return "cuda"; }
  std::string generation() const override { return generation_; }
  std::string id() const override { return id_; }
  const OpTable& ops() const override { return op_table(); }
  device::MemoryState memory() override {
    choose();
    device::MemoryState state;
    check(cudaMemGetInfo(&state.free, &state.total), "asking " + id_ + " for its memory");
    state.free -= state.free < reserve ? state.free : reserve;
    return state;
  }
  void* allocate(std::size_t bytes) override {
    choose();
    void* memory = nullptr;
    const cudaError_t status = cudaMalloc(&memory, bytes);
    if (status == cudaSuccess) return memory;
    const Error error = cuda_error(status, "memory on " + id_);
    if (error.code() == ErrorCode::ENGINE_OUT_OF_MEMORY) return nullptr;
    throw error;
  }
  void release(void* memory) noexcept override {
    cudaSetDevice(index_);
    cudaFree(memory);
    cudaGetLastError();
  }
  std::unique_ptr<device::Queue> queue() override { return std::make_unique<CudaQueue>(index_, id_); }

 private:
  void choose() { check(cudaSetDevice(index_), "choosing " + id_); }

  const int index_;
  const std::string id_, generation_;
};

}  // namespace

std::unique_ptr<device::Runtime> open_runtime(int index, const std::string& generation) {
  return std::make_unique<CudaRuntime>(index, generation);
}

}  // namespace convsweep::cuda
