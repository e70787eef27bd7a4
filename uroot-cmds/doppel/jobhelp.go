package main

// jobHelp is the topic "job" of help.
const jobHelp = `A job file says what is done without a person: JSON, described by
docs/job.schema.json. doppel run FILE runs it, on any Linux; the live system
does at start with doppel.job=FILE on the kernel command line.

  {
    "images": "nfs://10.0.0.1/images",
    "steps": [
      {"command": "restore", "image": "lab-pc", "verify": true,
       "targets": ["rule:size>=200G,bus=nvme,removable=no"]}
    ],
    "after": [["wget", "-O", "/dev/null", "http://10.0.0.1/done"]],
    "then": "poweroff"
  }

Fields of a job; what is not named here is an error:
  name          for logs and programs (default: the name of the file)
  images        where images are: a folder, a device, LABEL=, UUID=, boot, or a
                URL nfs:, smb:, sftp:, http:, https: without a password
  credentials   the file with the credentials of that place, by reference:
                {"user": "…", "password": "…"}
  steps         what is done, in order; the first that fails ends the job
  before, after programs before the first step and at the end
  then          poweroff, reboot, shell or menu, in the live system and after a
                job that succeeded; after one that failed the machine stays on.
                doppel.then= on the kernel command line goes before it, the
                programs of doppel.postrun= are run before it is done

Fields of a step, beside before and after; the command's help explains them:
  "command": "save"     image, sources, except, compress, split, rescue, resume,
                        retries
  "command": "restore"  image, targets, only, keep_table, verify, delta
  "command": "clone"    source, targets, except, verify, delta
  "command": "verify"   image

References name files: /path, boot:PATH on the medium that was started from,
LABEL=NAME:PATH, UUID=ID:PATH, http://… or https://… (verified), each with
#sha256=HEX behind it where one content is meant. Credentials do not come by
http.

Targets are named serial:NUMBER, wwn:NAME, or rule:CONDITIONS with commas between
the conditions. Exactly one disk must meet them all, else nothing is written:
  size>=200G  size<1T  size=500107862016   G is 1000 M, GiB is 1024 MiB
  bus=nvme    bus!=usb                     sata, nvme, usb, virtio, scsi, mmc
  model=Samsung*  serial=S3Z9*             * is any text, ? any character
  removable=no  empty=yes  used=no         used: mounted, or part of something
The medium that the live system was started from and disks that cannot be
written never meet a rule. A kernel name (sda) is refused where several disks
would fit, since such names change from one start to the next.

Programs are lists of a program and its arguments; no shell reads them. Exit
status 0 is well. One before a step or job that fails ends the job before that;
those after are run in any case, and one that fails makes the job fail. What they
say goes into the log. They find in their environment:
  DOPPEL_JOB      name of the job       DOPPEL_STATUS   exit status so far, 0 is well
  DOPPEL_STEPS    number of steps       DOPPEL_MESSAGE  what failed, in words
  DOPPEL_LOG      folder of the log
and those of a step also
  DOPPEL_STEP     its number, from 1    DOPPEL_IMAGE    the image
  DOPPEL_COMMAND  save, restore, …      DOPPEL_SOURCE   sources as they were named
  DOPPEL_TARGET   paths of the targets
`
