#pragma once

#include <string>

#include "kernels.hpp"

namespace wavewright {

// The set of that name, or the best for an empty one; Error where this machine cannot run it.
const Kernels& kernels(const std::string& isa);

}  // namespace wavewright
