#!/usr/bin/env python3
"""Reads the frame number that a demo camera draws into its pictures (docs/demo-camera.md).

One line for each picture: its number, or "-" where there is none.

    ffmpeg -i recording.mp4 -f rawvideo -pix_fmt gray - | frame_number.py --size 640x360
    frame_number.py picture.pgm another.pgm

With --fps also the moment in UTC at which the picture was made, for recordings of the last or next years.
"""
import argparse
import datetime
import sys
import time

COLUMNS = 24
ROWS = 2
HEIGHT_PARTS = 15
SYNC = (1, 1, 1, 0, 0, 1, 0, 1)
LEAST_CONTRAST = 64


def crc8(number):
    crc = 0xFF
    for byte in number.to_bytes(4, "big"):
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc


def read_frame_number(gray, width, height):
    """The number in a picture of width * height bytes of brightness, or None."""
    means = []
    for row in range(ROWS):
        top = height * (4 * row + 1) // (4 * HEIGHT_PARTS)
        bottom = max(top + 1, height * (4 * row + 3) // (4 * HEIGHT_PARTS))
        for column in range(COLUMNS):
            left = width * (4 * column + 1) // (4 * COLUMNS)
            right = max(left + 1, width * (4 * column + 3) // (4 * COLUMNS))
            total = sum(sum(gray[y * width + left : y * width + right]) for y in range(top, bottom))
            means.append(total / ((right - left) * (bottom - top)))
    white = min(mean for mean, bit in zip(means, SYNC) if bit)
    black = max(mean for mean, bit in zip(means, SYNC) if not bit)
    if white - black < LEAST_CONTRAST:
        return None
    threshold = (white + black) / 2
    bits = 0
    for mean in means:
        bits = bits << 1 | (mean > threshold)
    number = bits >> 8 & 0xFFFFFFFF
    return number if bits & 0xFF == crc8(number) else None


def seconds_of(number, fps, near=None):
    """Unix time of a frame number, the one closest to `near` (default: now) of those that share it."""
    near = time.time() if near is None else near
    turn = 1 << 32
    turns = round((near * fps - number) / turn)
    return (number + turns * turn) / fps


def read_pgm(data):
    """(width, height, pixels) of a binary PGM of 8 bits."""
    fields = []
    at = 0
    while len(fields) < 4:
        while data[at : at + 1].isspace():
            at += 1
        if data[at : at + 1] == b"#":
            at = data.index(b"\n", at)
            continue
        end = at
        while end < len(data) and not data[end : end + 1].isspace():
            end += 1
        if end == at:
            raise ValueError("PGM header ends early")
        fields.append(data[at:end])
        at = end
    if fields[0] != b"P5" or int(fields[3]) != 255:
        raise ValueError("not a binary PGM of 8 bits")
    width, height = int(fields[1]), int(fields[2])
    pixels = data[at + 1 : at + 1 + width * height]
    if len(pixels) != width * height:
        raise ValueError("PGM is cut short")
    return width, height, pixels


def pictures(arguments):
    for name in arguments.pgm:
        with open(name, "rb") as file:
            yield read_pgm(file.read())
    if not arguments.pgm:
        width, height = (int(side) for side in arguments.size.split("x"))
        while True:
            gray = sys.stdin.buffer.read(width * height)
            if len(gray) < width * height:
                return
            yield width, height, gray


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", help="WIDTHxHEIGHT of the raw gray pictures on standard input")
    parser.add_argument("--fps", type=int, help="frames a second of the camera: shows UTC as well")
    parser.add_argument("pgm", nargs="*", help="PGM files, instead of standard input")
    arguments = parser.parse_args()
    if not arguments.pgm and not arguments.size:
        parser.error("raw pictures need --size WIDTHxHEIGHT")
    for width, height, gray in pictures(arguments):
        number = read_frame_number(gray, width, height)
        if number is None:
            print("-")
        elif arguments.fps:
            when = datetime.datetime.fromtimestamp(seconds_of(number, arguments.fps), datetime.timezone.utc)
            print(number, when.isoformat(timespec="milliseconds"))
        else:
            print(number)


if __name__ == "__main__":
    main()
