// Adaptive pools against PyTorch, and `same` with strides against TensorFlow: test/golden/windows, made by
// pytorch/window_layers.py, which says what the inputs are.
#include <fstream>
#include <iterator>

#include "backend/cpu/cpu_backend.h"
#include "backend/reference/reference_backend.h"
#include "model/json.h"
#include "op_cases.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

// A field of a case. Throws where the file is not what the script writes.
const Json* find(const Json& json, const char* key) {
  const auto& object = std::get<Json::Object>(json.value);
  const auto at = object.find(key);
  return at == object.end() ? nullptr : &at->second;
}
int number(const Json& json) { return static_cast<int>(std::get<double>(json.value)); }
std::vector<double> numbers(const Json* json) {
  std::vector<double> all;
  if (json == nullptr) return all;
  for (const Json& item : std::get<Json::Array>(json->value)) all.push_back(std::get<double>(item.value));
  return all;
}
Pair pair_of(const Json* json) {
  const std::vector<double> sides = numbers(json);
  return sides.empty() ? Pair{} : Pair{static_cast<int>(sides.at(0)), static_cast<int>(sides.at(1))};
}

Op op_of(const std::string& name) {
  for (const Op op : {Op::conv2d, Op::max_pool2d, Op::avg_pool2d, Op::adaptive_max_pool2d, Op::adaptive_avg_pool2d}) {
    if (name == op_name(op)) return op;
  }
  FAIL("no such operation in the golden files: " << name);
  return Op::flatten;
}

LayerCase case_of(const Json& json) {
  LayerCase which;
  which.name = std::get<std::string>(find(json, "op")->value);
  which.spec.op = op_of(which.name);
  which.spec.kernel = pair_of(find(json, "kernel"));
  which.spec.stride = pair_of(find(json, "stride"));
  which.spec.output = pair_of(find(json, "output"));
  which.spec.padding = {PaddingKind::same, {0, 0}};
  if (const Json* filters = find(json, "filters")) which.spec.filters = number(*filters);
  which.spec.bias = which.spec.op == Op::conv2d;
  const std::vector<double> in = numbers(find(json, "in"));
  which.in = {static_cast<int>(in.at(0)), static_cast<int>(in.at(1)), static_cast<int>(in.at(2))};
  which.n = number(*find(json, "n"));
  return which;
}

template <class Real>
void fill(Guarded<Real>& values, int factor, int add, int modulus, double divisor) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const int place = (factor * static_cast<int>(i) + add) % modulus - modulus / 2;
    values[i] = static_cast<Real>(place / divisor);
  }
}

template <class Real>
void fill_inputs(LayerRun<Real>& run) {
  fill(run.x, 37, 11, 101, 16);
  fill(run.dy, 29, 5, 61, 8);
  fill(run.weight, 23, 7, 31, 16);
  for (std::size_t i = 0; i < run.bias.size(); ++i) run.bias[i] = static_cast<Real>((static_cast<double>(i) - 1) / 4);
}

template <class Real>
void check(const Json& json, const LayerRun<Real>& run, double tolerance) {
  const auto compare = [&](const char* key, const Guarded<Real>& found) {
    CAPTURE(key);
    const std::vector<double> wanted = numbers(find(json, key));
    REQUIRE(found.size() == wanted.size());
    CHECK(distance(found, wanted) <= tolerance);
  };
  compare("y", run.y);
  compare("dx", run.dx);
  compare("dweight", run.dweight);
  compare("dbias", run.dbias);
  run.check_guards();
}

void check_file(const std::string& name) {
  std::ifstream file(std::string(CONVSWEEP_GOLDEN) + "/windows/" + name);
  REQUIRE_MESSAGE(file.good(), "cannot read golden/windows/" << name);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const Json json = parse_json(text);
  const auto& cases = std::get<Json::Array>(json.value);
  CHECK(cases.size() >= 10);
  for (const Json& item : cases) {
    const LayerCase which = case_of(item);
    CAPTURE(which.name);
    LayerRun<double> exact(which);
    fill_inputs(exact);
    reference::layer_forward(exact.call(true));
    reference::layer_backward(exact.call(true));
    check(item, exact, 1e-12);
    for (const cpu::Isa isa : {cpu::Isa::scalar, cpu::Isa::avx2, cpu::Isa::avx512}) {
      const cpu::KernelTable* table = cpu::kernels_for(isa);
      if (table == nullptr) continue;
      const auto backend = make_cpu_backend(*table);
      const auto context = backend->context(nullptr);
      const LayerKernels& kernels = backend->ops().layer(which.spec.op);
      LayerRun<float> run(which);
      fill_inputs(run);
      std::vector<std::byte> scratch(kernels.scratch_bytes(run.shape, run.n, 1) + 64);
      LayerCall call = run.call(true);
      call.scratch = {scratch.data() + (64 - reinterpret_cast<std::uintptr_t>(scratch.data()) % 64) % 64, 0};
      kernels.forward(*context, call);
      kernels.backward(*context, call);
      check(item, run, 1e-6);
    }
  }
}

}  // namespace

TEST_CASE("adaptive pools agree with PyTorch") { check_file("adaptive.json"); }
TEST_CASE("padding same with strides agrees with TensorFlow") { check_file("same.json"); }
