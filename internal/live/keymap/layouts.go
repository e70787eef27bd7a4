package keymap

import (
	"maps"
	"slices"
)

// Names are the names that Load takes, sorted.
func Names() []string {
	return append(slices.Sorted(maps.Keys(layouts())), "fi", "gb")
}

// alias gives the name under which a layout is kept.
func alias(name string) string {
	switch name {
	case "gb", "en":
		return "uk"
	case "fi", "sv":
		return "se"
	case "da":
		return "dk"
	case "nb", "nn":
		return "no"
	case "sg", "fr_ch":
		return "ch"
	}
	return ""
}

func layouts() map[string]layout {
	return map[string]layout{
		"us": {"`1234567890-=" + `qwertyuiop[]` + `asdfghjkl;'\` + `<zxcvbnm,./`,
			`~!@#$%^&*()_+` + `QWERTYUIOP{}` + `ASDFGHJKL:"|` + `>ZXCVBNM<>?`,
			`             ` + `            ` + `            ` + `|          `},
		"uk": {"`1234567890-=" + `qwertyuiop[]` + `asdfghjkl;'#` + `\zxcvbnm,./`,
			`¬!"£$%^&*()_+` + `QWERTYUIOP{}` + `ASDFGHJKL:@~` + `|ZXCVBNM<>?`,
			`¦   €        ` + `  é   úíó   ` + `á           ` + `           `},
		"de": {`^1234567890ß´` + `qwertzuiopü+` + `asdfghjklöä#` + `<yxcvbnm,.-`,
			"°!\"§$%&/()=?`" + `QWERTZUIOPÜ*` + `ASDFGHJKLÖÄ'` + `>YXCVBNM;:_`,
			`  ²³   {[]}\ ` + `@ €        ~` + `            ` + `|      µ   `},
		"fr": {`²&é"'(-è_çà)=` + `azertyuiop^$` + `qsdfghjklmù*` + `<wxcvbn,;:!`,
			`~1234567890°+` + `AZERTYUIOP¨£` + `QSDFGHJKLM%µ` + `>WXCVBN?./§`,
			"  ~#{[|`\\^@]}" + `  €        ¤` + `            ` + `           `},
		"be": {`²&é"'(§è!çà)-` + `azertyuiop^$` + `qsdfghjklmùµ` + `<wxcvbn,;:=`,
			`³1234567890°_` + `AZERTYUIOP¨*` + `QSDFGHJKLM%£` + `>WXCVBN?./+`,
			` |@#{[^  {}  ` + `  €       []` + "          ´`" + `\         ~`},
		"es": {`º1234567890'¡` + "qwertyuiop`+" + `asdfghjklñ´ç` + `<zxcvbnm,.-`,
			`ª!"·$%&/()=?¿` + `QWERTYUIOP^*` + `ASDFGHJKLÑ¨Ç` + `>ZXCVBNM;:_`,
			`\|@#~€¬      ` + `  €       []` + `          {}` + `           `},
		"it": {`\1234567890'ì` + `qwertyuiopè+` + `asdfghjklòàù` + `<zxcvbnm,.-`,
			`|!"£$%&/()=?^` + `QWERTYUIOPé*` + `ASDFGHJKLç°§` + `>ZXCVBNM;:_`,
			"       {[]}`~" + `  €       []` + `         @# ` + `           `},
		"pt": {`\1234567890'«` + `qwertyuiop+´` + `asdfghjklçº~` + `<zxcvbnm,.-`,
			`|!"#$%&/()=?»` + "QWERTYUIOP*`" + `ASDFGHJKLÇª^` + `>ZXCVBNM;:_`,
			`  @£§€ {[]}  ` + `  €       ¨ ` + `            ` + `           `},
		"ch": {`§1234567890'^` + `qwertzuiopü¨` + `asdfghjklöä$` + `<yxcvbnm,.-`,
			"°+\"*ç%&/()=?`" + `QWERTZUIOPè!` + `ASDFGHJKLéà£` + `>YXCVBNM;:_`,
			` |@#  ¬|¢  ´~` + `  €       []` + `         ´{}` + `\          `},
		"se": {`§1234567890+´` + `qwertyuiopå¨` + `asdfghjklöä'` + `<zxcvbnm,.-`,
			"½!\"#¤%&/()=?`" + `QWERTYUIOPÅ^` + `ASDFGHJKLÖÄ*` + `>ZXCVBNM;:_`,
			`  @£$€ {[]}\ ` + `  €        ~` + `            ` + `|      µ   `},
		"no": {`|1234567890+\` + `qwertyuiopå¨` + `asdfghjkløæ'` + `<zxcvbnm,.-`,
			"§!\"#¤%&/()=?`" + `QWERTYUIOPÅ^` + `ASDFGHJKLØÆ*` + `>ZXCVBNM;:_`,
			`  @£$  {[]} ´` + `  €        ~` + `            ` + `       µ   `},
		"dk": {`½1234567890+´` + `qwertyuiopå¨` + `asdfghjklæø'` + `<zxcvbnm,.-`,
			"§!\"#¤%&/()=?`" + `QWERTYUIOPÅ^` + `ASDFGHJKLÆØ*` + `>ZXCVBNM;:_`,
			`  @£$€ {[]} |` + `  €        ~` + `            ` + `\      µ   `},
	}
}
