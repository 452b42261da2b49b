/** Every registered sampler through the conformance suite. */
import { SAMPLERS } from "../../coordinator/core/samplers/index.js";
import { samplerConformance } from "./sampler.js";

for (const [name, sampler] of SAMPLERS) samplerConformance(name, sampler, null);
