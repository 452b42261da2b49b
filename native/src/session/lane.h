// A lane: one trial's place in a session, apart from its tensors.
//
// Guarantees: LaneState is everything that, with the tensors, decides how the lane goes on; it is what a checkpoint
// holds. Nothing in it depends on time, on other lanes or on threads.
#pragma once

#include <cstdint>
#include <limits>

#include "convsweep/ops.h"
#include "convsweep/recipe.h"

namespace convsweep {

// statistics: after training, where weights are averaged: the epoch's batches once more, for the batch norms of the
// average. In the order in which checkpoints number them.
enum class Phase : std::uint8_t { train, validation, test, statistics };
enum class LaneStatus : std::uint8_t { training, finished, diverged_loss, diverged_weights };

// Sums over the labels seen so far in one phase: one an image, of a text one a character.
struct Tally {
  double loss_sum = 0;
  std::int64_t correct = 0;
  std::int64_t labels = 0;

  void add(const LaneMetrics& metrics, int n) {
    loss_sum += metrics.loss_sum;
    correct += metrics.correct;
    labels += n;
  }
  double loss() const { return labels > 0 ? loss_sum / static_cast<double>(labels) : nan(); }
  double accuracy() const { return labels > 0 ? static_cast<double>(correct) / static_cast<double>(labels) : nan(); }
  static double nan() { return std::numeric_limits<double>::quiet_NaN(); }
};

struct LaneState {
  std::uint64_t seed = 0;
  Hyperparameters hyperparameters{};
  LaneStatus status = LaneStatus::training;
  Phase phase = Phase::train;
  // Whole epochs done; batches done in the current phase; optimiser steps done in all.
  std::uint32_t epoch = 0, batch = 0, step = 0;
  // The epoch under way. `train` stays until the epoch is reported.
  Tally train, validation, test;
  // Of the last optimiser step; NaN before the first.
  double last_loss = Tally::nan();
  double last_learning_rate = 0;
};

}  // namespace convsweep
