/** The product's samplers and schedulers, and the scheduler of simulations. */
import { type Algorithms, ALGORITHMS as OF_THE_PRODUCT } from "../../coordinator/core/environment.js";
import { rungScheduler } from "./scheduler.js";

export const ALGORITHMS: Algorithms = {
  samplers: OF_THE_PRODUCT.samplers,
  schedulers: new Map([...OF_THE_PRODUCT.schedulers, ["rung", rungScheduler]]),
};
