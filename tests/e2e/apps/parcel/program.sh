#!/bin/sh
echo ran as a program
