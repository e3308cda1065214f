#pragma once

#include <string>

#include "kernels.hpp"

namespace wavewright {

// The instruction set of that name, or the best one for an empty name. Throws Error if this machine cannot run it.
const Kernels& kernels(const std::string& isa);

}  // namespace wavewright
