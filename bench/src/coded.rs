//! Coded pictures and sound as bytes: parameter sets, one grey key picture, a picture that
//! repeats the one before, a frame of silence. Small, and right to the bit, so that decoders
//! take them: what a frame lacks in size is carried as user data that decoders pass over.
//!
//! ITU-T H.264 §7.3, Baseline profile, 640x360; ISO/IEC 14496-3 §4.4.2, AAC-LC.

/// Picture size in pixels.
pub const WIDTH: u32 = 640;
/// See [`WIDTH`].
pub const HEIGHT: u32 = 360;
/// Samples a second of the sound.
pub const SAMPLE_RATE: u64 = 44_100;
/// Samples in one AAC frame.
pub const SAMPLES_PER_FRAME: u64 = 1_024;

const MACROBLOCKS_WIDE: u32 = WIDTH.div_ceil(16);
const MACROBLOCKS_HIGH: u32 = HEIGHT.div_ceil(16);
const MACROBLOCKS: u32 = MACROBLOCKS_WIDE * MACROBLOCKS_HIGH;

/// AudioSpecificConfig: AAC-LC, 44.1 kHz, two channels.
pub const AUDIO_CONFIG: [u8; 2] = [0x12, 0x10];

/// The end of a raw AAC frame: a channel pair that is silent, and the END element.
pub const SILENCE: [u8; 6] = [0x21, 0x10, 0x04, 0x60, 0x8C, 0x1C];

/// AVCDecoderConfigurationRecord with both parameter sets, 4-byte lengths.
pub fn video_config() -> Vec<u8> {
    let (sps, pps) = (sequence_parameters(), picture_parameters());
    let mut config = vec![0x01, sps[1], sps[2], sps[3], 0xFF, 0xE1];
    for (index, set) in [sps, pps].iter().enumerate() {
        if index == 1 {
            config.push(0x01);
        }
        let len = u16::try_from(set.len()).unwrap_or(u16::MAX);
        config.extend(len.to_be_bytes());
        config.extend(set);
    }
    config
}

fn sequence_parameters() -> Vec<u8> {
    let mut bits = Bits::new(&[0x67, 0x42, 0xC0, 0x1E]);
    bits.ue(0); // seq_parameter_set_id
    bits.ue(0); // log2_max_frame_num_minus4
    bits.ue(2); // pic_order_cnt_type: output order is decoding order
    bits.ue(1); // max_num_ref_frames
    bits.u(1, 0); // gaps_in_frame_num_value_allowed_flag
    bits.ue(MACROBLOCKS_WIDE - 1);
    bits.ue(MACROBLOCKS_HIGH - 1);
    bits.u(1, 1); // frame_mbs_only_flag
    bits.u(1, 1); // direct_8x8_inference_flag
    bits.u(1, 1); // frame_cropping_flag; in units of two lines
    bits.ue(0);
    bits.ue(0);
    bits.ue(0);
    bits.ue((MACROBLOCKS_HIGH * 16 - HEIGHT) / 2);
    bits.u(1, 0); // vui_parameters_present_flag
    bits.end()
}

fn picture_parameters() -> Vec<u8> {
    let mut bits = Bits::new(&[0x68]);
    bits.ue(0); // pic_parameter_set_id
    bits.ue(0); // seq_parameter_set_id
    bits.u(2, 0); // CAVLC, no bottom_field_pic_order
    bits.ue(0); // num_slice_groups_minus1
    bits.ue(0); // num_ref_idx_l0_default_active_minus1
    bits.ue(0); // num_ref_idx_l1_default_active_minus1
    bits.u(3, 0); // no weighted prediction
    bits.ue(0); // pic_init_qp_minus26
    bits.ue(0); // pic_init_qs_minus26
    bits.ue(0); // chroma_qp_index_offset
    bits.u(3, 0); // no deblocking control, constrained intra, redundant pictures
    bits.end()
}

/// The NAL unit of an IDR picture, all grey.
pub fn key_picture() -> Vec<u8> {
    let mut bits = Bits::new(&[0x65]);
    bits.ue(0); // first_mb_in_slice
    bits.ue(7); // slice_type I
    bits.ue(0); // pic_parameter_set_id
    bits.u(4, 0); // frame_num
    bits.ue(0); // idr_pic_id
    bits.u(2, 0); // dec_ref_pic_marking
    bits.ue(0); // slice_qp_delta
    for _ in 0..MACROBLOCKS {
        bits.ue(3); // I_16x16, predicted from its neighbours' mean, without coefficients
        bits.ue(0); // intra_chroma_pred_mode DC
        bits.ue(0); // mb_qp_delta
        bits.u(1, 1); // coeff_token of the luma DC: none
    }
    bits.end()
}

/// The NAL unit of a picture that repeats the one before it. `number`: pictures since the last
/// IDR picture.
pub fn repeated_picture(number: u64) -> Vec<u8> {
    let mut bits = Bits::new(&[0x41]);
    bits.ue(0); // first_mb_in_slice
    bits.ue(5); // slice_type P
    bits.ue(0); // pic_parameter_set_id
    bits.u(4, u32::try_from(number % 16).unwrap_or(0)); // frame_num
    bits.u(3, 0); // no override of reference counts, no reordering, sliding window marking
    bits.ue(0); // slice_qp_delta
    bits.ue(MACROBLOCKS); // mb_skip_run
    bits.end()
}

/// Writes bit by bit.
struct Bits {
    bytes: Vec<u8>,
    /// Bits used of the last byte, 1 to 8.
    used: u32,
}

impl Bits {
    fn new(head: &[u8]) -> Self {
        Self {
            bytes: head.to_vec(),
            used: 8,
        }
    }

    /// The low `count` bits of `value`.
    fn u(&mut self, count: u32, value: u32) {
        for place in (0..count).rev() {
            if self.used == 8 {
                self.bytes.push(0);
                self.used = 0;
            }
            if value >> place & 1 == 1
                && let Some(last) = self.bytes.last_mut()
            {
                *last |= 0x80 >> self.used;
            }
            self.used += 1;
        }
    }

    /// Exp-Golomb, §9.1.
    fn ue(&mut self, value: u32) {
        let bits = (value + 1).ilog2();
        self.u(bits, 0);
        self.u(bits + 1, value + 1);
    }

    /// With the stop bit.
    fn end(mut self) -> Vec<u8> {
        self.u(1, 1);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_needs_emulation_prevention() {
        let mut units = vec![sequence_parameters(), picture_parameters(), key_picture()];
        units.extend((0..16).map(repeated_picture));
        for unit in units {
            let is_start = |w: &[u8]| w[0] == 0 && w[1] == 0 && w[2] <= 3;
            assert!(!unit.windows(3).any(is_start), "{unit:02x?}");
        }
    }

    #[test]
    fn bits_are_packed_from_the_top() {
        let mut bits = Bits::new(&[]);
        bits.ue(0); // 1
        bits.ue(3); // 00100
        bits.u(4, 0b1010);
        assert_eq!(bits.end(), [0b1001_0010, 0b1010_0000]);
    }

    #[test]
    fn pictures_have_the_size_their_macroblocks_come_to() {
        assert_eq!(key_picture().len(), 924);
        assert_eq!(repeated_picture(3).len(), 6);
        assert_eq!(video_config()[..6], [1, 0x42, 0xC0, 0x1E, 0xFF, 0xE1]);
    }
}
