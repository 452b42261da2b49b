// The engine's version, in this one place. It is part of every fingerprint: raise it whenever a trial's bytes change.
#pragma once

namespace convsweep {

inline constexpr char engine_version[] = "0.4.0";

}  // namespace convsweep
