// Products with tiles of the test's choosing, which the sizes of the operations' cases would not bring about.
#pragma once

namespace convsweep::emulator::probe {

// c[rows][columns] = a[rows][depth] b[depth][columns]. A block's tile is 8 tm x 16 tn: `tm`, `tn` of 4, 2; 4, 4; or 1,
// 2, 3, 4, 7 or 8 with 8. With `fours`, columns come in fours and b and c are aligned to 16 bytes.
void tiled_product(int tm, int tn, bool fours, int rows, int columns, int depth, const float* a, const float* b,
                   float* c);

}  // namespace convsweep::emulator::probe
