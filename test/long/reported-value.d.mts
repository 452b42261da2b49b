export const METRICS: readonly string[];
export function reportedValue(attempt: string, epoch: number, metric: string): number;
