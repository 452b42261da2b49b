// Products with tiles of the test's choosing, which the sizes of the operations' cases would not bring about.
#pragma once

namespace convsweep::emulator::probe {

// c[rows][columns] = a[rows][depth] b[depth][columns]. Tiles: 16 tm x 16 tn, as `tm`, `tn` of 1, 4; 2, 2; 4, 2 or 4, 4.
void tiled_product(int tm, int tn, int rows, int columns, int depth, const float* a, const float* b, float* c);

}  // namespace convsweep::emulator::probe
