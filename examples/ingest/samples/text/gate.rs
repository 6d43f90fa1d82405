/// Opens the gate when the levels are equal.
fn open(basin: u32, river: u32) -> bool {
    basin == river
}
