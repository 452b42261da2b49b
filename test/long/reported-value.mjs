/** What model workers report, so that whoever reads the record knows what must be there. */
export const METRICS = [
  "train_loss",
  "train_accuracy",
  "val_loss",
  "val_accuracy",
  "learning_rate",
  "images_per_second",
];

/** The value that an attempt reports of a metric at an epoch: in [0, 1). */
export function reportedValue(attempt, epoch, metric) {
  let hash = 2166136261;
  for (const char of `${attempt} ${epoch} ${metric}`) hash = Math.imul(hash ^ char.charCodeAt(0), 16777619) >>> 0;
  return hash / 2 ** 32;
}
