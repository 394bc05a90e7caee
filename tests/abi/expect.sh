#!/bin/sh
# expect.sh STATUS TEXT COMMAND...: the command ends with that status and says that text.
status=$1
text=$2
shift 2
said=$("$@" 2>&1)
got=$?
if [ "$got" != "$status" ]; then
    echo "exit status $got, expected $status; it said:"
    echo "$said"
    exit 1
fi
case $said in
*"$text"*) ;;
*)
    echo "it did not say \"$text\" but:"
    echo "$said"
    exit 1
    ;;
esac
