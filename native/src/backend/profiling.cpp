#include "backend/profiling.h"

#include <chrono>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "ops/shape.h"

namespace convsweep {

// Of one context, which belongs to one thread at a time.
class CallTimes {
 public:
  explicit CallTimes(const OpTable& table) : ops(table) {}

  // The backend's own operations.
  const OpTable& ops;

  template <class Call>
  void time(int layer, const char* op, const char* direction, double flops, double bytes, const Call& call) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    call();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const std::lock_guard<std::mutex> lock(mutex_);
    // What is no layer comes last.
    LayerTime& at = times_[{layer < 0 ? 1 << 30 : layer, op, direction}];
    at.layer = layer;
    at.op = op;
    at.direction = direction;
    at.seconds += seconds;
    at.flops += flops;
    at.bytes += bytes;
    ++at.calls;
  }

  using Times = std::map<std::tuple<int, std::string, std::string>, LayerTime>;
  Times take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(times_, {});
  }

 private:
  std::mutex mutex_;
  Times times_;
};

namespace {

double bytes_of(const LayerShape& s, int n) {
  std::int64_t weights = 0;
  for (const TensorShape& tensor : layer_parameters(s)) weights += tensor.size();
  return 4.0 * (static_cast<double>(s.in.size() + s.out.size()) * n + static_cast<double>(weights));
}

// Multiply-adds of one image. Backward computes a product of the forward's size for the weights' gradient, another for
// the data's; a recurrent layer's steps hand the gradient of their state back whether or not the data's is wanted.
std::int64_t products_of(const LayerCall& call, bool forward) {
  const LayerShape& s = call.shape;
  const std::int64_t all = multiply_adds(s);
  if (forward) return all;
  const bool recurrent = s.op == Op::rnn || s.op == Op::lstm;
  const std::int64_t state = recurrent ? all / (s.in.channels + s.out.channels) * s.out.channels : 0;
  return (call.dweight ? all : 0) + (call.dx ? all : state);
}

// A view where it lies: its values are its input's.
bool moves_nothing(const LayerCall& call, bool forward) {
  if (call.shape.op != Op::flatten && call.shape.op != Op::reshape) return false;
  return forward ? call.x.base == call.y.base : !call.dx || call.dy.base == call.dx.base;
}

void time_layer(ExecutionContext& context, const LayerCall& call, void (*run)(ExecutionContext&, const LayerCall&),
                bool forward) {
  const double flops = 2.0 * static_cast<double>(products_of(call, forward)) * call.n * call.lanes.count;
  const double bytes =
      moves_nothing(call, forward) ? 0 : (forward ? 1 : 2) * bytes_of(call.shape, call.n) * call.lanes.count;
  context.times->time(static_cast<int>(call.shape.layer), op_name(call.shape.op), forward ? "forward" : "backward",
                      flops, bytes, [&] { run(context, call); });
}

OpTable timed_table(const OpTable& inner) {
  OpTable table = inner;
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) \
  table.name.forward = [](ExecutionContext& context, const LayerCall& call) {  \
    time_layer(context, call, context.times->ops.name.forward, true);          \
  };                                                                           \
  table.name.backward = [](ExecutionContext& context, const LayerCall& call) { \
    time_layer(context, call, context.times->ops.name.backward, false);        \
  };
#define CONVSWEEP_LOSS_OP(name)                                                                 \
  table.name = [](ExecutionContext& context, const LossCall& call) {                            \
    context.times->time(-1, #name, "", 0, 4.0 * call.n * call.classes * (call.dlogits ? 2 : 1), \
                        [&] { context.times->ops.name(context, call); });                       \
  };
#define CONVSWEEP_UPDATE_OP(name, state)                                                             \
  table.name = [](ExecutionContext& context, const UpdateCall& call) {                               \
    context.times->time(-1, #name, "", 0, 4.0 * static_cast<double>(call.count) * (3 + 2 * (state)), \
                        [&] { context.times->ops.name(context, call); });                            \
  };
#include "ops/ops.def"
  table.add = [](ExecutionContext& context, const JoinCall& call) {
    context.times->time(-1, "add", "", 0, 12.0 * static_cast<double>(call.count),
                        [&] { context.times->ops.add(context, call); });
  };
  table.copy = [](ExecutionContext& context, const JoinCall& call) {
    context.times->time(-1, "copy", "", 0, 8.0 * static_cast<double>(call.count),
                        [&] { context.times->ops.copy(context, call); });
  };
  table.gather = [](ExecutionContext& context, const GatherCall& call) {
    context.times->time(-1, "gather", "", 0, 5.0 * static_cast<double>(call.image.size()) * call.n,
                        [&] { context.times->ops.gather(context, call); });
  };
  return table;
}

class Timed final : public ProfilingBackend {
 public:
  explicit Timed(std::unique_ptr<Backend> inner) : inner_(std::move(inner)), table_(timed_table(inner_->ops())) {}

  std::string name() const override { return inner_->name(); }
  std::string generation() const override { return inner_->generation(); }
  const OpTable& ops() const override { return table_; }
  bool fuses() const override { return inner_->fuses(); }
  bool is_host() const override { return inner_->is_host(); }
  std::unique_ptr<ExecutionContext> context(ThreadPool* pool) override {
    std::unique_ptr<ExecutionContext> context = inner_->context(pool);
    context->times = std::make_shared<CallTimes>(inner_->ops());
    contexts_.push_back(context->times);
    return context;
  }
  void* allocate(std::size_t bytes) override { return inner_->allocate(bytes); }
  void release(void* memory) noexcept override { inner_->release(memory); }
  void copy_in(void* device, const void* host, std::size_t bytes) override { inner_->copy_in(device, host, bytes); }
  void copy_out(void* host, const void* device, std::size_t bytes) override { inner_->copy_out(host, device, bytes); }
  std::shared_ptr<const DatasetMemory> dataset(std::shared_ptr<const Dataset> set) override {
    return inner_->dataset(std::move(set));
  }
  std::size_t memory_bytes() const override { return inner_->memory_bytes(); }
  std::size_t free_bytes() const override { return inner_->free_bytes(); }

  std::vector<LayerTime> take() override {
    CallTimes::Times sum;
    for (const std::shared_ptr<CallTimes>& context : contexts_) {
      for (const auto& [key, time] : context->take()) {
        LayerTime& at = sum[key];
        const std::int64_t calls = at.calls + time.calls;
        const double seconds = at.seconds + time.seconds, flops = at.flops + time.flops, bytes = at.bytes + time.bytes;
        at = time;
        at.calls = calls;
        at.seconds = seconds;
        at.flops = flops;
        at.bytes = bytes;
      }
    }
    std::vector<LayerTime> list;
    for (auto& [key, time] : sum) list.push_back(std::move(time));
    return list;
  }

 private:
  std::unique_ptr<Backend> inner_;
  OpTable table_;
  std::vector<std::shared_ptr<CallTimes>> contexts_;
};

}  // namespace

std::unique_ptr<ProfilingBackend> make_profiling_backend(std::unique_ptr<Backend> backend) {
  return std::make_unique<Timed>(std::move(backend));
}

}  // namespace convsweep
