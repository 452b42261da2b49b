// Generative adversarial networks (Goodfellow et al. 2014), plain and by class (Mirza and Osindero 2014).
//
// A step, in the order of PyTorch's DCGAN example: the generator draws a batch; the discriminator learns from a real
// batch and from the drawn one, by the sum of its losses; then it judges the drawn batch again, and the generator
// learns to be taken for real (the non-saturating loss). Images are scaled to [-1, 1], the range of tanh.
//
// By class: the label of each real image, as one-hot planes, is appended to the channels of the discriminator's input,
// and as one-hot values to the generator's latent vector; drawn images take the labels of the real batch.
//
// What the discriminator says is tallied in LaneState: `train` of real images, `validation` of drawn ones, `test` of
// drawn ones again, as the generator sees it.
#include <algorithm>
#include <cmath>

#include "session/procedures/procedure.h"

namespace convsweep {
namespace {

// Uses of a network in one step. Each has its own numbers and metrics; the draws of dropout differ from pass to pass.
enum Pass : int { generate, real, fake, judge };
static_assert(judge + 1 == gan_passes);

Plan with_gradients(Plan plan, std::size_t gradients) {
  plan.gradients = gradients;
  return plan;
}

class Gan final : public Procedure {
 public:
  Gan(Backend& backend, const Recipe& recipe, const LanePlan& plan, const DeviceMemory& memory)
      : Procedure(backend, recipe, plan, memory),
        classes_(recipe.procedure.conditional ? recipe.dataset.classes : 0),
        image_(recipe.dataset.shape),
        real_plan_(with_gradients(plan.networks[1].plan, plan.spare_gradients - plan.networks[1].work)) {}

  int batches(Phase phase) const override {
    return phase == Phase::train ? static_cast<int>(part(phase).size) / recipe_.batch_size : 0;
  }

  int images(const LaneState&) const override { return recipe_.batch_size; }

  int alike(const LaneState& s) const override { return batches(s.phase) - static_cast<int>(s.batch); }

  void prepare(LaneState& s, int lane, int round) override {
    LaneScalars scalars = training_scalars(s);
    for (int pass = 0; pass < gan_passes; ++pass) {
      scalars.step = s.step * gan_passes + static_cast<std::uint32_t>(pass);
      set_scalars(memory_of(pass, round), lane, scalars);
    }
  }

  void run(const LaneState&, LaneSet lanes, int n, int round, ExecutionContext& context) const override {
    const Steps at(*this, context, round);
    at.real.gather(context, lanes, part(Phase::train), n, true);
    label(at, at.real, context, lanes, n);
    label(at, at.generator, context, lanes, n);
    at.generator.draw_normal(context, lanes, recipe_.procedure.latent, n, Purpose::latent, 0);
    at.generator.forward(context, lanes, n, true);

    at.real.forward(context, lanes, n, true);
    at.real.binary_loss(context, lanes, n, BinaryTarget::smoothed_one);
    at.real.backward(context, lanes, {.parameters = true, .input = false});
    show(at, at.fake, context, lanes, n);
    at.fake.forward(context, lanes, n, true);
    at.fake.binary_loss(context, lanes, n, BinaryTarget::zero);
    at.fake.backward(context, lanes, {.parameters = true, .input = false});
    at.fake.add_gradients(context, lanes, real_plan_.gradients);
    at.fake.update(context, lanes);

    show(at, at.judge, context, lanes, n);
    at.judge.forward(context, lanes, n, true);
    at.judge.binary_loss(context, lanes, n, BinaryTarget::one);
    at.judge.backward(context, lanes, {.parameters = false, .input = true});
    copy(context, lanes, at.judge.input_gradient(n), at.generator.output_gradient(n), n);
    at.generator.backward(context, lanes, {.parameters = true, .input = false});
    at.generator.update(context, lanes);
  }

  std::optional<int> calls(const LaneState&) const override { return 0; }

  bool tally(LaneState& s, int lane, int round) const override {
    const LaneMetrics of_real = metrics_of(memory_of(real, round), lane),
                      of_fake = metrics_of(memory_of(fake, round), lane),
                      of_judge = metrics_of(memory_of(judge, round), lane);
    s.last_loss = of_judge.loss_sum / recipe_.batch_size;
    if (!std::isfinite(of_real.loss_sum + of_fake.loss_sum + of_judge.loss_sum)) return false;
    s.train.add(of_real, recipe_.batch_size);
    s.validation.add(of_fake, recipe_.batch_size);
    s.test.add(of_judge, recipe_.batch_size);
    return true;
  }

  bool finite(int lane, ExecutionContext& context) override {
    const LaneSet lanes{lane, 1, nullptr};
    const Steps at(*this, context, 0);
    at.generator.check_finite(context, lanes);
    at.real.check_finite(context, lanes);
    return finite_in(memory_of(generate, 0), lane) && finite_in(memory_of(real, 0), lane);
  }

  void report(const LaneState& s, int lane, ExecutionContext& context, LaneReport& report) override {
    report.metrics = {{"d_loss", s.train.loss() + s.validation.loss()},
                      {"g_loss", s.test.loss()},
                      {"d_real_accuracy", s.train.accuracy()},
                      {"d_fake_accuracy", s.validation.accuracy()},
                      {"learning_rate", s.last_learning_rate}};
    report.pictures = draw_pictures(s, lane, context);
  }

 private:
  // The networks as they see memory in their passes of a round.
  struct Steps {
    Steps(const Gan& gan, const ExecutionContext& context, int round)
        : generator(gan.step(gan.plan_.networks[0].plan, context, generate, round)),
          real(gan.step(gan.real_plan_, context, Pass::real, round)),
          fake(gan.step(gan.plan_.networks[1].plan, context, Pass::fake, round)),
          judge(gan.step(gan.plan_.networks[1].plan, context, Pass::judge, round)) {}
    const Step generator, real, fake, judge;
  };
  const Network& network_of(int pass) const { return plan_.networks[pass == generate ? 0 : 1]; }
  DeviceMemory memory_of(int pass, int round) const {
    const Network& network = network_of(pass);
    return memory_.in_round(round).of(network.kept, network.work, static_cast<std::size_t>(pass));
  }
  Step step(const Plan& plan, const ExecutionContext& context, int pass, int round) const {
    return {backend_.ops(), recipe_, network_of(pass).graph, plan, memory_of(pass, round).in(context)};
  }

  // The labels of the real batch, into a network's input.
  void label(const Steps& at, const Step& step, ExecutionContext& context, LaneSet lanes, int n) const {
    if (classes_ > 0) step.one_hot(context, lanes, at.real.labels(), classes_, n);
  }

  // The generator's images, into the discriminator's input.
  void show(const Steps& at, const Step& step, ExecutionContext& context, LaneSet lanes, int n) const {
    copy(context, lanes, at.generator.output(n), step.input(n), n);
    label(at, step, context, lanes, n);
  }

  void copy(ExecutionContext& context, LaneSet lanes, Lanes<const float> from, Lanes<float> to, int n) const {
    JoinCall call;
    call.count = image_.size() * n;
    call.lanes = lanes;
    call.a = from;
    call.y = to;
    backend_.ops().copy(context, call);
  }

  // The same latent vectors after every epoch, with running statistics; by class a column is a class.
  Pictures draw_pictures(const LaneState& s, int lane, ExecutionContext& context) {
    const LaneSet lanes{lane, 1, nullptr};
    const int count = picture_count(recipe_);
    const Step generator = Steps(*this, context, 0).generator;
    LaneScalars scalars;
    scalars.key = s.seed;
    set_scalars(memory_of(generate, 0), lane, scalars);
    send(1);
    Pictures pictures{image_, classes_ > 0 ? classes_ : picture_rows, {}};
    pictures.values.resize(static_cast<std::size_t>(image_.size() * count));
    std::vector<float> drawn;
    for (int first = 0; first < count; first += recipe_.batch_size) {
      const int n = std::min(recipe_.batch_size, count - first);
      generator.draw_normal(context, lanes, recipe_.procedure.latent, n, Purpose::sample,
                                   static_cast<std::uint32_t>(first));
      if (classes_ > 0) {
        std::vector<std::int32_t> labels(static_cast<std::size_t>(n));
        for (int i = 0; i < n; ++i) labels[static_cast<std::size_t>(i)] = (first + i) % classes_;
        backend_.copy_in(generator.labels()[lane], labels.data(), labels.size() * sizeof(std::int32_t));
        generator.one_hot(context, lanes, generator.labels(), classes_, n);
      }
      generator.forward(context, lanes, n, false);
      drawn.resize(static_cast<std::size_t>(image_.size() * n));
      backend_.copy_out(drawn.data(), generator.output(n)[lane], drawn.size() * sizeof(float));
      for (std::int64_t pixel = 0; pixel < image_.size(); ++pixel) {
        for (int i = 0; i < n; ++i) {
          pictures.values[static_cast<std::size_t>((first + i) * image_.size() + pixel)] =
              drawn[static_cast<std::size_t>(pixel * n + i)];
        }
      }
    }
    return pictures;
  }

  const int classes_;
  const Extent image_;
  // The discriminator's, with gradients of the real batch apart from those of the drawn one.
  const Plan real_plan_;
};

}  // namespace

std::unique_ptr<Procedure> make_gan(Backend& backend, const Recipe& recipe, const LanePlan& plan,
                                    const DeviceMemory& memory) {
  return std::make_unique<Gan>(backend, recipe, plan, memory);
}

}  // namespace convsweep
