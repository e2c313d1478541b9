"""Words for fields and parameters that mean the same wherever they stand."""

from __future__ import annotations

from collections.abc import Mapping

# What a field of a record or result holds, by its name alone.
COMMON: Mapping[str, str] = {
    "format": "Number of the record's format; readers refuse a higher one than they know.",
    "created": "When it was written down, UTC, RFC 3339.",
    "author": "Who signed it; empty when nobody is named.",
    "message": "What there is to say about it, in words.",
    "remedy": "What can be done about it, in words; empty when nothing can.",
    "hint": "The way out, in words; empty when there is none.",
    "max_difference": "Largest difference of any channel, in 8-bit steps, 0 to 255; null where it cannot be measured.",
    "mean_difference": "Mean difference over all channels, in 8-bit steps, 0 to 255; null where it cannot be measured.",
    "changed_share": "Share of the pixels with any channel changed, 0 to 1; null where it cannot be measured.",
    "psnr": "Peak signal-to-noise ratio in decibels; null when identical or where it cannot be measured.",
    "ssim": "Structural similarity, at most 1 (identical); null where it cannot be measured.",
    "flip": "Mean FLIP error, 0 to 1; null where it was not measured.",
    "phash_distance": "How many of the 64 bits of the perceptual hashes differ, 0 to 64.",
    "width": "Width in pixels.",
    "height": "Height in pixels.",
    "bit_depth": "Bits of one colour channel.",
    "media_type": "Media type of the bytes, as in `image/png`.",
    "type_version": "Version of the node type, a whole number.",
    "address": "Permanent address of the stored file, `intaglio:asset/blake3:<hex>`; it names content, not a place.",
    "delivered": "Number of the last line of the journal that is dealt with.",
    "failures": "How often in a row it did not take what was sent.",
    "failing_since": "Since when it takes nothing, UTC, RFC 3339; empty while it does.",
    "again_at": "When it is tried again, UTC, RFC 3339; empty for at once.",
    "paused": "Why nothing is sent to it any more, in words; empty while something is.",
}

# What a parameter is for, by its name alone.
COMMON_PARAMETERS: Mapping[str, str] = {
    "limit": "How many are returned at most.",
    "author": "Who signs it; empty for whoever asks, and a token signs as nobody else.",
    "note": "A remark to keep with it, at most 10000 characters; empty for none.",
    "dry_run": "Whether only to tell what would be done: nothing is run, kept or moved then.",
    "label": "Label of the new version, a word or two; empty for none.",
    "annotation": "Why the version is made, in words; empty when that is not said here.",
    "no_annotation": "Whether the version goes without an annotation on purpose.",
    "fields": "Answers to what the forms of the workflow ask for, by the name of the field.",
    "archived": "Whether archived workflows are included.",
    "holds": "Whether it is said; false takes back what was said before.",
    "timeout": "How many seconds to wait at most, on a server no more than 60; 0 for not at all.",
}
